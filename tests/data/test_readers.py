"""Readers: every fault is one clear error, and no fault touches another row."""

import gzip
import json
import random
import re

import pytest

from codefusion.data import readers, rows

GOOD = {"utterance": "list files", "code": "ls -l", "table": [["a"], [1]]}
OTHERS = (7, 1.5, True, None, [], ["x"], {}, {"x": 1})
MESSAGE = re.compile(r"rows\.jsonl:\d+: \S+: \S.+", re.DOTALL)


def example(record, id):
    fields = record.text("utterance"), record.text("code"), record.table("table")
    return rows.Example(id, *fields), []


def read(data):
    return rows.outcomes(readers.read_jsonl(data, file="rows.jsonl"), example, part="p")


def line(**changes):
    return json.dumps(GOOD | changes).encode()


def without(key):
    return json.dumps({k: v for k, v in GOOD.items() if k != key}).encode()


def cut(rng):
    text = line()
    return text[: rng.randrange(1, len(text))]


def flipped(rng):
    text = bytearray(line(code="find . -name é"))
    place = text.index(b"find") + rng.randrange(4)
    text[place] = rng.randrange(0x80, 0xC0)
    return bytes(text)


MUTATIONS = {
    "cut": cut,
    "text before": lambda rng: rng.choice([b"x", b"]", b"\xc2\xa0"]) + line(),
    "text after": lambda rng: line() + rng.choice([b"x", b"{}", b",", b"]"]),
    "missing field": lambda rng: without(rng.choice(sorted(GOOD))),
    "mistyped text": lambda rng: line(
        **{rng.choice(["utterance", "code"]): rng.choice(OTHERS)}
    ),
    "mistyped table": lambda rng: line(
        table=rng.choice(["x", 3, None, [], {}, [1], [["a"], 1], [["a"], [[1]]]])
    ),
    "not an object": lambda rng: json.dumps(rng.choice(OTHERS[:6])).encode(),
    "duplicate key": lambda rng: line()[:-1] + b', "code": "rm"}',
    "duplicate key inside": lambda rng: line()[:-1] + b', "x": {"a": 1, "a": 2}}',
    "not a number": lambda rng: (
        line()[:-1] + b', "x": ' + rng.choice([b"NaN", b"-Infinity"]) + b"}"
    ),
    "out of range": lambda rng: line()[:-1] + b', "x": 1e%d}' % rng.randrange(309, 999),
    "too many digits": lambda rng: line()[:-1] + b', "x": ' + b"9" * 5000 + b"}",
    "nested deeply": lambda rng: line()[:-1] + b', "x": ' + b"[" * 100_000 + b"}",
    "not UTF-8": flipped,
    "lone surrogate": lambda rng: line(code="a" * rng.randrange(9) + "\ud800"),
    "NUL": lambda rng: line(utterance="a\x00b"),
    "over-long": lambda rng: line(code="x" * (rows.MAX_CHARS + rng.randrange(1, 99))),
    "over-long table": lambda rng: line(table=[["x" * rows.MAX_TABLE_CHARS]]),
    "empty": lambda rng: line(code=rng.choice(["", " ", "\n", "\t \n"])),
    "single quotes": lambda rng: str(GOOD).encode(),
    "control character": lambda rng: line()[:-1] + b', "x": "\x01"}',
}


def test_5000_malformed_rows_are_5000_errors_and_their_neighbours_are_read():
    count = 5000
    rng = random.Random(0)
    lines, bad = [], {}
    names = [n for n in sorted(MUTATIONS) if n != "over-long table"]
    for number in range(1, count + 1):
        lines.append(line(utterance=f"row {number}"))
        name = rng.choice(names)
        lines.append(MUTATIONS[name](rng))
        bad[2 * number] = name
    outcomes = read(b"\n".join(lines))
    assert len(outcomes) == len(lines)
    for number, (outcome, source) in enumerate(zip(outcomes, lines, strict=True), 1):
        if number not in bad:
            assert outcome.example.utterance == json.loads(source)["utterance"]
            continue
        assert outcome.error is not None, (bad[number], source[:200])
        assert outcome.error.line == number
        assert MESSAGE.fullmatch(str(outcome.error))
    assert sum(o.error is not None for o in outcomes) == count


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_each_kind_of_fault_is_refused(name):
    (outcome,) = read(MUTATIONS[name](random.Random(1)))
    assert outcome.error is not None and outcome.example is None


def test_the_error_names_file_line_field_and_reason():
    (_, outcome) = read(line() + b"\n" + line(code=3))
    assert str(outcome.error) == "rows.jsonl:2: code: expected text, got a number"


def test_a_byte_order_mark_is_refused_by_name():
    (outcome,) = read(b"\xef\xbb\xbf" + line())
    assert "byte order mark" in outcome.error.reason
    with pytest.raises(ValueError, match="f:1: row: .*byte order mark"):
        list(readers.read_json(b"\xef\xbb\xbf[]", file="f"))


def test_rows_of_a_json_document_know_their_list_and_line():
    text = b'{"train": [{"a": 1},\n {"a": 2}], "test":\n\n[\n{"a": 3, "a": 4}]}'
    found = [
        (r.part, r.index, r.line, r.fault) for r in readers.read_json(text, file="f")
    ]
    assert found == [
        ("train", 0, 1, ""),
        ("train", 1, 2, ""),
        ("test", 0, 5, "duplicate key 'a'"),
    ]


def test_a_json_list_has_rows_without_a_part():
    records = list(readers.read_json(b" [1, [2], {}] \n", file="f"))
    assert [r.value for r in records] == [1, [2], {}]
    assert list(readers.read_json(b"[]", file="f")) == []


@pytest.mark.parametrize(
    ("text", "error_line"),
    [
        (b"", 1),
        (b"3", 1),
        (b'{"train": 3}', 1),
        (b'{"train": []\n,"train": []}', 2),
        (b'[{"a": 1}\n{"a": 2}]', 2),
        (b'[{"a": 1},\n\n{"a": ]', 3),
        (b'[{"a": 1}', 1),
        (b"[1]\n]", 2),
        (b"[\n" + b"[" * 100_000, 2),
        (b'[1,\n"\xff"]', 2),
    ],
)
def test_a_document_that_cannot_be_split_names_the_line(text, error_line):
    with pytest.raises(ValueError, match=rf"doc\.json:{error_line}: row: \S"):
        list(readers.read_json(text, file="doc.json"))


def test_random_damage_to_a_document_never_raises_anything_but_value_error():
    rng = random.Random(0)
    whole = json.dumps({"train": [GOOD] * 3, "test": [GOOD]}, indent=1).encode()
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            records = list(readers.read_json(bytes(damaged), file="doc.json"))
        except ValueError as error:
            assert str(error).startswith("doc.json:")
        else:
            assert all(o.example or o.error for o in rows.outcomes(records, example))


def test_lines_are_numbered_as_in_the_file_and_blank_ones_are_skipped():
    records = list(readers.read_lines(b"ls\n\n \t\nps -e\r\n\xff\n", file="f"))
    assert [(r.line, r.index, r.value) for r in records] == [
        (1, 0, "ls"),
        (4, 1, "ps -e\r"),
        (5, 2, None),
    ]
    assert records[2].fault == "not UTF-8: bad byte at column 1"


def test_only_newlines_end_a_line():
    text = "a\x0bb\x0cc\x1cd\u2028e\x85f"
    (record,) = readers.read_lines(text.encode(), file="f")
    assert record.value == text


def test_gzip_is_undone_and_damage_to_it_is_named():
    data = b"x = 1\n" * 1000
    packed = gzip.compress(data)
    assert readers.unzip(packed, file="f") == data
    assert readers.unzip(data, file="f") == data
    for damaged in (packed[:-9], packed[:20], packed[:-6] + b"\0" * 6):
        with pytest.raises(ValueError, match="f.gz:1: row: truncated or damaged gzip"):
            readers.unzip(damaged, file="f.gz")
