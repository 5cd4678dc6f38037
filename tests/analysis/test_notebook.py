"""What a notebook is shown, without a notebook."""

import html
import json
import sys
import types

import jax.numpy as jnp
import pytest

from codefusion.analysis import charts, notebook

ROW = dict(step=1, stage="training", loss=2.0, cross_entropy=1.5, learning_rate=0.1)


@pytest.fixture
def drawn(monkeypatch):
    """Returns the list of what is displayed and then drawn anew in its place."""
    shown = []

    def display(first, display_id):
        shown.append(first)
        return types.SimpleNamespace(update=shown.append)

    fake = types.SimpleNamespace(display=types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    return shown


def test_charts_lie_in_a_frame_that_may_load_nothing():
    xs = jnp.linspace(0.0, 1.0, 3)
    lines = charts.lines(xs, {"a < b": xs**2, "c": 1 - xs})
    assert lines[0].points == ((0.0, 0.0), (0.5, 0.25), (1.0, 1.0))
    shown = notebook.show(charts.Chart("k", "A title", "x", "y", lines))._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and shown.count("<iframe") == 1
    page = html.unescape(shown)
    assert "default-src 'none'" in page and "a &lt; b" in page and "A title" in page


def test_a_run_is_watched_from_before_its_first_step_to_its_end(drawn, tmp_path):
    with notebook.watching(tmp_path, seconds=0.01):
        (tmp_path / "metrics.jsonl").write_text(json.dumps(ROW) + "\n")
    assert "Nothing to draw yet" in drawn[0]._repr_html_()
    keys = [chart.key for chart in drawn[-1].charts]
    assert "losses" in keys and "learning_rate" in keys


def test_a_run_that_fails_is_still_shown_to_its_end(drawn, tmp_path):
    with pytest.raises(RuntimeError, match="it failed"):
        with notebook.watching(tmp_path, seconds=60):
            raise RuntimeError("it failed")
    assert len(drawn) == 2
