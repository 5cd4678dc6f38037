"""The film and the report in headless Chromium; skipped where there is none.

Needs `pip install playwright` and a `chromium` on the path.
"""

import shutil

import pytest

from codefusion.analysis import report, trajectory
from codefusion.analysis.charts import Chart, Line

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium on the path")
    with api.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium)
        yield found
        found.close()


@pytest.fixture(params=[(s, c) for s in SIZES for c in ("light", "dark")], ids="-".join)
def opened(request, browser, tmp_path):
    """Opens files in a page of some size and scheme; fails where it complained."""
    size, scheme = request.param
    width, height = SIZES[size]
    context = browser.new_context(
        viewport=dict(width=width, height=height),
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page, faults = context.new_page(), []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url))

    def go(path):
        page.goto(path.as_uri())
        faults[:] = [f for f in faults if f not in (path.as_uri(), "data:,")]
        return page

    yield go
    page.screenshot(path=tmp_path / f"{size}-{scheme}.png")
    context.close()
    assert faults == []


def state(page):
    """Returns (number of the still, first program) as the page shows them."""
    still = page.locator(".scrub").input_value()
    return int(still), page.locator(".code").first.evaluate("e => e.textContent")


def contrast(page, selector):
    """Returns the lowest contrast of text on what is behind it, by WCAG."""
    return page.evaluate(CONTRAST, selector)


def test_the_keyboard_moves_the_film(opened, film, tmp_path):
    (path,) = trajectory.save([film], tmp_path / "film.html")
    page, last = opened(path), len(film.stills) - 1
    end = state(page)
    assert end[0] == last
    for key, expected in [
        ("Home", 0),
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", last),
    ]:
        page.keyboard.press(key)
        assert state(page)[0] == expected
    assert state(page) == end
    page.keyboard.press(" ")
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert state(page) == end
    page.locator(".draw").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    assert page.locator(".readout").first.inner_text().startswith("token 2: ")
    page.keyboard.press("Escape")
    assert page.locator(".readout").first.inner_text().startswith("mean")


def test_the_film_fits_and_is_read_in_every_scheme(opened, film, tmp_path):
    (path,) = trajectory.save([film], tmp_path / "film.html")
    page = opened(path)
    page.keyboard.press("Home")
    page.locator(".numbers").check()
    assert page.evaluate(TOO_WIDE) <= 0
    assert page.locator(".token[class*='doubt-2']").count() > 0
    for selector in (".token", ".note", ".readout", "h2", "h3", ".where", ".play"):
        assert contrast(page, selector) >= 4.5, selector


def test_the_report_fits_and_is_read_in_every_scheme(opened, tmp_path):
    points = tuple((10.0 * step, 1 / step) for step in range(1, 30))
    lines = tuple(Line(f"part {i}", points, ((0.1, 0.2),) * 29) for i in range(6))
    chart = Chart("some", "A title of a chart", "step", "loss", lines, note="A note.")
    path = tmp_path / "report.html"
    path.write_text(report.write("run", {"steps": "300"}, [chart] * 3, "a: 1 -> 2"))
    page = opened(path)
    assert page.locator("figure svg[role=img]").count() == 3
    assert page.evaluate(TOO_WIDE) <= 0
    for selector in ("h1", "th", "td", "figcaption", "li", ".last", ".note", "summary"):
        assert contrast(page, selector) >= 4.5, selector


TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"

# Backgrounds are laid over each other from the page up to the element.
CONTRAST = """
(selector) => {
  const rgba = (text) => {
    const numbers = text.match(/[0-9.]+/g).map(Number);
    return numbers.length === 3 ? [...numbers, 1] : numbers;
  };
  const over = ([r, g, b, a], under) =>
    [r, g, b].map((value, i) => a * value + (1 - a) * under[i]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (element) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    let behind = [255, 255, 255];
    for (const e of chain) {
      behind = over(rgba(getComputedStyle(e).backgroundColor), behind);
    }
    const text = over(rgba(getComputedStyle(element).color), behind);
    const [dark, light] = [luminance(text), luminance(behind)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  return Math.min(...[...document.querySelectorAll(selector)].map(ratio));
}
"""
