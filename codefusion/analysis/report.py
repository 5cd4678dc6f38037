"""A run on one page: what it came to, and its charts; no network and no script."""

import html

from codefusion.analysis import page, svg


def write(name, facts, charts, differences=""):
    """Returns the report, HTML.

    Args:
      name: of the run.
      facts: what it came to, {name: text}.
      charts: list of `charts.Chart`.
      differences: of its config from the base, text, or "".
    """
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(key)}</th><td>{html.escape(text)}</td></tr>"
        for key, text in facts.items()
    )
    config = _CONFIG.format(html.escape(differences)) if differences.strip() else ""
    figures = "".join(map(svg.figure, charts))
    body = f"""<main>
<h1>{html.escape(name)}</h1>
<table>{rows}</table>
<div class="charts">{figures}</div>
{config}</main>"""
    return page.document(
        f"{name}: curves", page.asset("report.css") + svg.style(), body
    )


_CONFIG = """<details><summary>Differences from the base config</summary>
<pre tabindex="0">{}</pre></details>
"""
