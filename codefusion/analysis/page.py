"""A film as one HTML file: no network, no framework, and readable without a script.

The data lie in the page as JSON in which no character can end the script element.
"""

import html
import importlib.resources
import json

from codefusion.analysis import showing

_FRAME_HEIGHT = 420  # pixels, until the page inside knows its own
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:"
)


def write(films, ending=".html"):
    """Returns the page of films, str.

    Args:
      films: list of `trajectory.Film`s.
      ending: of the file; there is one kind.
    """
    del ending
    title = films[0].utterance if len(films) == 1 else f"{len(films)} requests"
    sections = "".join(_section(film, number) for number, film in enumerate(films))
    body = f"""<main>{sections}{_LEGEND}</main>
<script type="application/json" id="films">{script_json(_data(films))}</script>
<script>{asset("film.js")}</script>"""
    return document(f"{title}: noise to code", asset("film.css"), body)


def inline(films):
    """Returns what a notebook shows of films: their page in a frame of its own."""
    return frame(write(films), "denoising film", _FRAME_HEIGHT)


def frame(document, title, height):
    """Returns an HTML document inside a page, in a frame of its own, HTML.

    Args:
      document: HTML.
      title: of the frame, for those who do not see it.
      height: in pixels.
    """
    return (
        f'<iframe srcdoc="{html.escape(document, quote=True)}" '
        f'title="{html.escape(title)}" '
        f'style="width:100%;height:{height}px;border:0"></iframe>'
    )


def document(title, style, body):
    """Returns an HTML document that may load nothing.

    Args:
      title: text of its title.
      style: CSS of its own, after what all pages share.
      body: HTML.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{html.escape(showing.visible(title))}</title>
<style>{asset("page.css")}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def script_json(value):
    """Returns JSON in ASCII that may stand inside a script element.

    Args:
      value: what `json` can write.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def asset(name):
    """Returns the text of a file beside this one."""
    folder = importlib.resources.files("codefusion.analysis")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _section(film, number):
    """Returns one film as it is before the script takes it over: its last still."""
    utterance = html.escape(showing.visible(film.utterance))
    last = len(film.stills) - 1
    draws = "".join(
        _DRAW.format(
            name=html.escape(name),
            text=html.escape(showing.lines_kept(film.texts(draw)[-1])),
        )
        for draw, name in enumerate(film.names)
    )
    return _FILM.format(
        number=number,
        utterance=utterance,
        caption=html.escape(film.caption),
        last=last,
        draws=draws,
    )


def _data(films):
    """Returns films as JSON: a token is [text, per cent, nearest, distance, end]."""
    strings = {}

    def number_of(text):
        return strings.setdefault(showing.lines_kept(text), len(strings))

    told = [
        {
            "stills": [
                {
                    "step": still.step,
                    "t": round(still.t, 4),
                    "noise": [number_of(text) for text in still.noise],
                    "draws": [
                        [
                            [
                                number_of(token.text),
                                round(100 * token.probability, 1),
                                number_of(token.nearest),
                                round(token.distance, 3),
                                int(token.is_end),
                            ]
                            for token in draw
                        ]
                        for draw in still.draws
                    ],
                }
                for still in film.stills
            ]
        }
        for film in films
    ]
    bounds = [100 * showing.SURE, 100 * showing.EVEN]
    return {"films": told, "strings": list(strings), "bounds": bounds}


_FILM = """
<section class="film" aria-labelledby="request-{number}">
<h2 id="request-{number}">{utterance}</h2>
<div class="controls" hidden>
<button type="button" class="play">Play</button>
<input type="range" class="scrub" min="0" max="{last}" value="{last}" step="1"
 aria-label="Denoising step">
<output class="where"></output>
<label class="switch"><input type="checkbox" class="numbers"> numbers</label>
</div>
<noscript><p class="note">Without scripts only the last step is shown.</p></noscript>
<div class="draws">{draws}</div>
<p class="note">{caption}</p>
</section>
"""

_DRAW = """
<div class="draw" role="group" tabindex="0" aria-label="{name}">
<h3>{name}</h3>
<p class="noise" aria-label="noise" hidden></p>
<pre class="code">{text}</pre>
<svg class="curves" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
</svg>
<p class="readout" aria-live="polite"></p>
</div>
"""

_LEGEND = """
<footer>
<p class="legend"><span>probability of a token: 0</span>
<span class="scale" aria-hidden="true"></span><span>1</span>
<span class="sample"><span class="token doubt-2">below 0.5</span>
<span class="token doubt-1">below 0.9</span> <span class="token">above</span></span></p>
<p class="legend"><span><svg class="key" viewBox="0 0 24 8" aria-hidden="true">
<path class="probability" d="M0 4H24"/></svg> mean probability</span>
<span><svg class="key" viewBox="0 0 24 8" aria-hidden="true">
<path class="distance" d="M0 4H24"/></svg> mean distance to the nearest
embedding</span>
<span>above each program, the tokens that the noise is nearest to</span></p>
<p class="note keys"><kbd>space</kbd> play or pause, <kbd>&larr;</kbd>
<kbd>&rarr;</kbd> one step, <kbd>Home</kbd> <kbd>End</kbd> noise and result;
<kbd>Tab</kbd> to a draw, then <kbd>&uarr;</kbd> <kbd>&darr;</kbd> its tokens.
A token tells its numbers when it is touched.</p>
</footer>
"""
