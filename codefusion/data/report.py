"""What a data set holds: counts, faults, hashes, lengths, overlap with training."""

import collections
import functools

from codefusion.data.datasets import SPLITS

_PERCENTILES = (50, 95, 99, 100)
_MAX_ERRORS = 20


def describe(dataset, *, tokenizer=None, others=()):
    """Returns what a data set holds as a dict that JSON can write.

    Args:
      dataset: an entry of `DATASETS` or `CORPORA`, built.
      tokenizer: has `encode(text) -> ids`; with one, lengths in tokens are given too,
        and how many rows exceed the data set's source and target lengths.
      others: what is trained on beside it, built; test programs that each holds are
        counted.

    Returns:
      dict of counts by split, file hashes, content hash, lengths and overlaps.
    """
    examples = {split: list(dataset.examples(split)) for split in SPLITS}
    errors = [str(e) for split in SPLITS for e in dataset.quarantined(split)]
    return {
        "name": dataset.name,
        "language": dataset.language,
        "scheme": dataset.scheme,
        "content_hash": dataset.content_hash,
        "files": [
            {"path": s.path, "sha256": s.sha256, "url": s.url}
            for s in dataset.sources()
        ],
        "file_rows": dataset.file_counts(),
        "splits": {
            split: _split(dataset, split, examples[split], tokenizer)
            for split in SPLITS
        },
        "seen_in_training": {
            split: seen_in_training(examples["train"], examples[split])
            for split in ("validation", "test")
        },
        "test_code_in_others": {
            other.name: sum(seen(other.examples("train"), examples["test"], "code"))
            for other in others
        },
        "held_out_rows": dataset.held_out_rows(),
        "errors": errors[:_MAX_ERRORS],
    }


@functools.lru_cache(maxsize=8)
def programs(dataset):
    """Returns the programs of a data set's train split, less white space at their ends.

    Args:
      dataset: a data set or corpus, built and hashable.

    Returns:
      A frozenset of str.
    """
    return frozenset(example.code.strip() for example in dataset.examples("train"))


def seen(train, test, *fields):
    """Returns whether each test example recurs in training, list[bool].

    Args:
      train: iterable of `Example`s.
      test: iterable of `Example`s.
      fields: names of the fields, "utterance" or "code", that all have to recur
        together; white space at their ends is not compared.
    """

    def texts(example):
        return tuple(getattr(example, field).strip() for field in fields)

    known = {texts(example) for example in train}
    return [texts(example) in known for example in test]


def seen_in_training(train, test):
    """Returns how many test examples recur in training, by what recurs.

    Args:
      train: list of `Example`s.
      test: list of `Example`s.

    Returns:
      dict with `rows`, `code`, `utterance` and `both` (the same pair).
    """
    return {
        "rows": len(test),
        "code": sum(seen(train, test, "code")),
        "utterance": sum(seen(train, test, "utterance")),
        "both": sum(seen(train, test, "utterance", "code")),
    }


def render(description):
    """Returns `describe`'s dict as text for a terminal.

    Args:
      description: what `describe` returned.
    """
    d = description
    lines = [f"{d['name']} ({d['language']}), scheme {d['scheme']}"]
    lines += [f"  file {f['path']}  sha256 {f['sha256']}" for f in d["files"]]
    if d["file_rows"]:
        counts = ", ".join(f"{part} {n:,}" for part, n in d["file_rows"].items())
        lines.append(f"  rows in the files: {counts}")
    for split, facts in d["splits"].items():
        lines += _split_lines(split, facts)
    for split, seen in d["seen_in_training"].items():
        if seen["rows"]:
            lines.append(
                f"  {split} seen in train: by code {seen['code']:,}, by utterance "
                f"{seen['utterance']:,}, by both {seen['both']:,} of {seen['rows']:,}"
            )
    for other, count in d["test_code_in_others"].items():
        lines.append(f"  test programs in {other}: {count:,}")
    if d["held_out_rows"]:
        lines.append(f"  left out, held out by a benchmark: {d['held_out_rows']:,}")
    lines += [f"  set aside: {error}" for error in d["errors"]]
    return "\n".join([*lines, f"  content hash {d['content_hash']}"]) + "\n"


def _split(dataset, split, examples, tokenizer):
    """Returns the facts of one split."""
    outcomes = dataset.outcomes(split)
    facts = {
        "rows": len(outcomes),
        "examples": len(examples),
        "distinct_code": len({e.code for e in examples}),
        "quarantined": _count(_reason(o.error) for o in outcomes if o.error),
        "repaired": _count(r for o in outcomes for r in o.repairs),
        "utterance_chars": percentiles([len(e.utterance) for e in examples]),
        "code_chars": percentiles([len(e.code) for e in examples]),
    }
    if tokenizer is None:
        return facts
    source = _token_counts(tokenizer, [e.utterance for e in examples])
    target = _token_counts(tokenizer, [e.code for e in examples])
    return facts | {
        "source_tokens": percentiles(source),
        "target_tokens": percentiles(target),
        "too_long": sum(
            s > dataset.source_length or t > dataset.target_length
            for s, t in zip(source, target, strict=True)
        ),
    }


def _token_counts(tokenizer, texts):
    counts = {text: len(tokenizer.encode(text)) + 1 for text in set(texts)}
    return [counts[text] for text in texts]


def percentiles(lengths):
    """Returns percentile -> length, the smallest that this share of rows fits in.

    Args:
      lengths: list of int.

    Returns:
      dict of "p50", "p95", "p99" and "p100"; empty for an empty list.
    """
    ordered = sorted(lengths)
    places = {p: max(0, -(-len(ordered) * p // 100) - 1) for p in _PERCENTILES}
    return {f"p{p}": ordered[place] for p, place in places.items()} if ordered else {}


def _reason(error):
    field = error.field.rpartition("].")[2]
    return f"{field}: {error.reason}" if field else error.reason


def _count(reasons):
    return dict(sorted(collections.Counter(reasons).items()))


def _split_lines(split, facts):
    if not facts["rows"]:
        return [f"  {split}: no rows"]
    lines = [
        f"  {split}: {facts['rows']:,} rows, {facts['examples']:,} used, "
        f"{sum(facts['quarantined'].values()):,} set aside, "
        f"{facts['distinct_code']:,} distinct programs"
    ]
    for kind in ("quarantined", "repaired"):
        for reason, count in facts[kind].items():
            lines.append(f"    {kind} {count:,}: {reason}")
    for key, label in (
        ("utterance_chars", "utterance, characters"),
        ("code_chars", "code, characters"),
        ("source_tokens", "utterance, tokens with end"),
        ("target_tokens", "code, tokens with end"),
    ):
        # A code corpus has no utterances, so their lengths say nothing.
        if any(facts.get(key, {}).values()):
            spread = ", ".join(f"{p} {n:,}" for p, n in facts[key].items())
            lines.append(f"    {label}: {spread}")
    if "too_long" in facts:
        lines.append(f"    longer than the model's lengths: {facts['too_long']:,}")
    return lines
