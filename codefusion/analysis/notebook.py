"""What a notebook shows: charts beside each other, and a run's curves as it trains.

notebook.show(chart, other)
with notebook.watching("runs/mine"):
    main.main(["codefusion", "train", ...])
"""

import contextlib
import dataclasses
import pathlib
import threading

from codefusion.analysis import curves, page, svg

_CHART_HEIGHT = 400  # pixels, of a row of two charts
_SHOWN = ("losses", "cross_entropy", "validation", "learning_rate", "throughput")


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts that a notebook draws.

    Attributes:
      charts: `charts.Chart`s.
      title: of the frame around them.
    """

    charts: tuple
    title: str = "charts"

    def _repr_html_(self):
        figures = "".join(map(svg.figure, self.charts)) or "<p>Nothing to draw yet.</p>"
        style = page.asset("report.css") + svg.style()
        body = f'<main><div class="charts">{figures}</div></main>'
        rows = -(-len(self.charts) // 2) or 1
        return page.frame(
            page.document(self.title, style, body), self.title, rows * _CHART_HEIGHT
        )


def show(*charts):
    """Returns charts as what a notebook draws side by side, `Charts`.

    Args:
      *charts: `charts.Chart`s.
    """
    return Charts(charts)


def of_run(workdir):
    """Returns the curves of a work directory so far, `Charts`.

    Args:
      workdir: a folder, str or path; it may be empty or absent.
    """
    found = curves.of_metrics(pathlib.Path(workdir, "metrics.jsonl"))
    kept = tuple(chart for chart in found if chart.key in _SHOWN)
    return Charts(kept, f"curves of {pathlib.Path(workdir).name}")


@contextlib.contextmanager
def watching(workdir, *, seconds=5.0):
    """Shows the curves of a run below a notebook's cell, drawn anew as it trains.

    Args:
      workdir: of the run, str or path.
      seconds: between two drawings.
    """
    from IPython import display  # in every notebook

    handle = display.display(of_run(workdir), display_id=True)
    done = threading.Event()

    def redraw():
        while not done.wait(seconds):
            handle.update(of_run(workdir))

    thread = threading.Thread(target=redraw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        handle.update(of_run(workdir))
