"""The pairs from Python's documentation: aligned, and cleaned like the corpus."""

import json

import pytest

from codefusion.data.builders import (
    conala,
    python_corpus,
    python_docs,
    python_text,
    sources,
)

FILES = {
    python_text.DJANGO_TEXT.path: "  import x.\n\nreturn it. \n only text\n",
    python_text.DJANGO.path: "import x\n\n    return self . f ( a )\n\nonly = code\n",
    python_text.APIDOCS.path: {"intent": " Close it . ", "snippet": "f.close()\n"},
    python_text.MBPP.path: {"text": "Add.", "code": "a = 1 \r\nb = a", "task_id": 600},
}


def read(dataset=python_docs, **changes):
    """Returns the outcomes of FILES, some of them replaced by name of the source."""
    files = {getattr(python_text, name).path: text for name, text in changes.items()}
    content = {
        path: (text if isinstance(text, str) else json.dumps(text)).encode()
        for path, text in (FILES | files).items()
    }
    return dataset.read(content)


def test_each_source_gives_its_pairs_in_order():
    found = [o.example for o in read() if o.example]
    assert [(e.id, e.utterance, e.code) for e in found] == [
        ("django-000000", "import x.", "import x"),
        ("django-000001", "return it.", "return self.f(a)"),
        ("apidocs-000000", "Close it .", "f.close()"),
        ("mbpp-000000", "Add.", "a = 1\nb = a"),
    ]


def test_a_line_without_its_other_half_is_set_aside_and_moves_no_other():
    bad = [str(o.error) for o in read() if o.error]
    assert bad == [
        "django/all.code:4: row: the text is empty",
        "django/all.anno:5: row: the text is empty",
    ]


@pytest.mark.parametrize(
    ("source", "row", "reason"),
    [
        (
            "APIDOCS",
            {"intent": None, "snippet": "x"},
            "intent: expected text, got null",
        ),
        ("APIDOCS", {"intent": "x", "snippet": ""}, "snippet: the text is empty"),
        ("MBPP", {"text": "x", "task_id": 600}, "code: the field is missing"),
        ("MBPP", {"code": "x"}, "text: the field is missing"),
    ],
)
def test_an_empty_field_is_set_aside(source, row, reason):
    (error,) = (
        str(o.error) for o in read(**{source: row}) if o.error and "django" not in o.id
    )
    assert error == f"{getattr(python_text, source).path}:1: {reason}"


@pytest.mark.parametrize(
    ("task_id", "kept"), [(10, 1), (11, 0), (510, 0), (511, 1), (None, 1)]
)
def test_the_test_part_of_mbpp_is_left_out(task_id, kept):
    found = read(MBPP={"text": "t", "code": "c", "task_id": task_id})
    assert sum(o.id.startswith("mbpp") for o in found) == kept


def test_the_programs_are_those_of_the_corpus_needs_data(data_dir):
    files = {conala.TRAIN.path: b"[]", conala.TEST.path: b"[]"}
    for source in python_docs.SOURCES:
        lines = sources.read(source, data_dir).split(b"\n")[:2000]
        files[source.path] = b"\n".join(lines)
    pairs = {o.id: o.example for o in python_docs.read(files)}
    corpus = {o.id: o.example for o in python_corpus.read(files)}
    assert len(pairs) == 2000 + 2000 + 474 and all(pairs.values())
    codes = {id: pair.code for id, pair in pairs.items()}
    assert codes == {id: example.code for id, example in corpus.items()}
