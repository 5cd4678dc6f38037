"""The film's page: whole in itself, and nothing in a token can break it."""

import html
import html.parser
import json

import pytest

from codefusion.analysis import page


class Reader(html.parser.HTMLParser):
    """Collects the elements of a page, and the text of its scripts and programs."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.scripts, self.programs = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)
        {"script": self.scripts, "pre": self.programs}.get(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "pre"):
            kept = self.scripts if self.open[-1] == "script" else self.programs
            kept[-1] += data


@pytest.fixture(scope="module")
def read(film):
    """The page of a film whose tokens hold markup, as a browser reads it."""
    return Reader(page.write([film]))


def test_every_element_is_closed_whatever_the_tokens_hold(read):
    assert read.open == [] and len(read.scripts) == 2


def test_the_data_hold_every_token_as_it_is(read, film):
    data = json.loads(read.scripts[0])
    told, strings = data["films"][0]["stills"], data["strings"]
    for still, expected in zip(told, film.stills, strict=True):
        for tokens, draw in zip(still["draws"], expected.draws, strict=True):
            for (text, percent, nearest, distance, is_end), token in zip(
                tokens, draw, strict=True
            ):
                assert strings[text] == page.showing.lines_kept(token.text)
                assert strings[nearest] == page.showing.lines_kept(token.nearest)
                assert abs(percent / 100 - token.probability) < 1e-3
                assert abs(distance - token.distance) < 1e-3
                assert bool(is_end) == token.is_end
    assert "</script>" in strings and "\\u202e" in strings


def test_without_a_script_the_result_is_read(read, film):
    finals = [page.showing.lines_kept(film.texts(draw)[-1]) for draw in range(2)]
    assert [program.strip("\n") for program in read.programs] == finals


def test_a_page_loads_nothing(read):
    loading = [attrs for _, attrs in read.tags if {"src", "href"} & set(attrs)]
    assert loading == [{"rel": "icon", "href": "data:,"}]
    policies = [a["content"] for _, a in read.tags if "http-equiv" in a]
    assert policies and policies[0].startswith("default-src 'none'")


def test_a_notebook_shows_the_same_page_in_a_frame(film):
    ((tag, attrs),) = Reader(film._repr_html_()).tags
    assert tag == "iframe" and attrs["srcdoc"] == page.write([film])


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "\u2028&amp;"])
def test_json_in_a_script_ends_nothing(text):
    written = page.script_json({"a": [text]})
    assert json.loads(written) == {"a": [text]}
    assert not set("<>&") & set(written) and written.isascii()
