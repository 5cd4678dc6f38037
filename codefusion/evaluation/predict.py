"""Reads and writes predictions.jsonl: a header, then one row per request.

The header says what made the predictions; a row is {"id", "candidates", "log_probs"}.
Requests and references are not written: scoring joins them from the data by id, so a
committed file holds nothing of a benchmark but its ids.
"""

import json
import math
import os
import pathlib

from codefusion import files

FORMAT = 1
# What a header must say, and the type of each value.
HEADER_FIELDS = {
    "dataset": str,
    "split": str,
    "scheme": str,
    "data_hash": str,
    "tokenizer_hash": str,
    "config": dict,
    "config_diff": str,
    "seed": int,
    "sampler": str,
    "num_steps": int,
    "checkpoint_step": int,
    "commit": str,
    "max_rows": int,
    "truncated_utterances": int,
}
# What it says where it is known; a file may lack these.
OPTIONAL_FIELDS = {
    "parameters": int,
    "training_seconds": float,  # what the run's processes ran, evaluations left out
    "hardware": str,  # of the machine that predicted: devices, or processor and cores
}


def choose_rows(examples, max_rows):
    """Returns at most max_rows examples, evenly spaced; all of them if it is 0.

    The released splits are sorted, so that the first rows would be no fair sample.

    Args:
      examples: rows of a split, sequence.
      max_rows: most rows to keep, int; 0 for no limit.

    Returns:
      Rows in their order, list.
    """
    if max_rows < 0:
        raise ValueError(f"evaluation.max_rows is {max_rows}; expected 0 or more.")
    if not max_rows or max_rows >= len(examples):
        return list(examples)
    return [examples[i * len(examples) // max_rows] for i in range(max_rows)]


def rows_of(examples, answers):
    """Returns the prediction row of each example as `write_predictions` takes it.

    Args:
      examples: rows with `id`.
      answers: (candidates, log_probs) of each.
    """
    return [
        {"id": example.id, "candidates": list(texts), "log_probs": list(log_probs)}
        for example, (texts, log_probs) in zip(examples, answers, strict=True)
    ]


def write_predictions(path, header, rows):
    """Writes a predictions file; an older one stays until the new one is whole.

    Args:
      path: of the file, str or path; its folder is made.
      header: the values of HEADER_FIELDS, of OPTIONAL_FIELDS as far as known, and
        others if wanted, dict.
      rows: dicts with `id`, `candidates` and `log_probs`; a log-probability that is
        not finite becomes null.
    """
    _check_header(header, f"header of {path}")
    lines = [_line({"format": FORMAT, **header})]
    lines += [_row_line(row, f"row {number}") for number, row in enumerate(rows, 1)]
    files.write_whole(path, "".join(lines))


class Unfinished:
    """Predictions on disk as they come, so that a cut leaves what was predicted.

    They lie beside their file, under its name and `.unfinished`, until it is whole.

    Attributes:
      path: of the unfinished file, str.
      rows: what is predicted so far, list of dicts as `write_predictions` takes them.
      differs: by what the rows on disk are of another evaluation: keys of the header,
        `program`, `id` or, where there is no header, `format`, list of str.
    """

    def __init__(self, path, header, ids, *, batch_size, program):
        """Takes up what a cut has left.

        Args:
          path: of the file of predictions, str or path.
          header: as `write_predictions` takes it.
          ids: of the rows, in their order, list of str.
          batch_size: rows that are predicted together; only whole batches are taken up.
          program: what tells the code and the weights that predict from others, str;
            the commit, which also changes with what predicts nothing, may differ.
        """
        _check_header(header, f"header of {path}")
        self._target, self._header = os.fspath(path), header
        self.path = f"{self._target}.unfinished"
        self._head = _line({"format": FORMAT, "program": program, **header})
        self._is_begun = False
        kept, self.differs = self._left(ids)
        self.rows = kept[: len(kept) // batch_size * batch_size]

    def add(self, rows):
        """Appends rows, list of dicts as `write_predictions` takes them.

        The first call replaces what was not taken up.
        """
        self.rows += rows
        if not self._is_begun:
            lines = [self._head, *map(_row_line, self.rows)]
            files.write_whole(self.path, "".join(lines))
            self._is_begun = True
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(map(_row_line, rows))
        files.flush(self.path)

    def finish(self):
        """Writes the file of predictions; the unfinished one goes."""
        write_predictions(self._target, self._header, self.rows)
        pathlib.Path(self.path).unlink(missing_ok=True)

    def _left(self, ids):
        """Returns (rows, differs): the whole rows on disk that are the first of `ids`.

        A last line that was cut amid its writing is left out.
        """
        if not os.path.exists(self.path):
            return [], []
        with open(self.path, encoding="utf-8", errors="replace") as file:
            head, *lines = file.read().split("\n")
        wanted, found = json.loads(self._head), _load_or_none(head, _check_header)
        if found is None:
            return [], ["format"]
        keys = (wanted.keys() | found.keys()) - {"commit"}
        differs = [key for key in keys if wanted.get(key) != found.get(key)]
        if differs:
            return [], sorted(differs)
        rows = []
        for id_, line in zip(ids, lines, strict=False):
            row = _load_or_none(line, _check_row)
            if row is None:
                break
            if row["id"] != id_:
                return rows, ["id"]
            rows.append(row)
        return rows, []


def read_predictions(path):
    """Returns the header and the rows of a predictions file.

    Args:
      path: of the file, str or path.

    Returns:
      (header dict, list of row dicts); a null log-probability is read as -inf.
    """
    with open(path, encoding="utf-8") as file:
        lines = [_load(line, f"{path}:{n}") for n, line in enumerate(file, 1)]
    if not lines:
        raise ValueError(f"{path}: the file is empty; expected a header line.")
    header, *rows = lines
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path}:1: format: is {header.get('format')!r}; expected {FORMAT}."
        )
    _check_header(header, f"{path}:1")
    seen = set()
    for number, row in enumerate(rows, 2):
        _check_row(row, f"{path}:{number}")
        if row["id"] in seen:
            raise ValueError(
                f"{path}:{number}: id: {row['id']!r} occurs twice; expected each once."
            )
        seen.add(row["id"])
        row["log_probs"] = [-math.inf if p is None else p for p in row["log_probs"]]
    return header, rows


def _line(value):
    return json.dumps(value, allow_nan=False) + "\n"


def _row_line(row, place="row"):
    row = {key: row[key] for key in ("id", "candidates", "log_probs")}
    row["log_probs"] = [_finite(value) for value in row["log_probs"]]
    _check_row(row, place)
    return _line(row)


def _finite(value):
    return float(value) if value is not None and math.isfinite(value) else None


def _load(line, place):
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected a JSON object, got {line[:40]!r}.")
    return value


def _load_or_none(line, check=None):
    """Returns the JSON object of a line, None where it is cut or otherwise wrong."""
    try:
        value = _load(line, "")
        if check:
            check(value, "")
    except ValueError:
        return None
    return value


def _check_header(header, place):
    known = {
        key: OPTIONAL_FIELDS[key] for key in OPTIONAL_FIELDS.keys() & header.keys()
    }
    for key, kind in (HEADER_FIELDS | known).items():
        value = header.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{place}: {key}: is {value!r}; expected {kind.__name__}.")


def _check_row(row, place):
    if not isinstance(row.get("id"), str):
        raise ValueError(f"{place}: id: is {row.get('id')!r}; expected a string.")
    texts, log_probs = row.get("candidates"), row.get("log_probs")
    if not _is_list(texts, str) or not texts:
        raise ValueError(f"{place}: candidates: expected a list of strings, not empty.")
    if not _is_list(log_probs, (int, float, type(None))):
        raise ValueError(f"{place}: log_probs: expected a list of numbers or nulls.")
    if len(texts) != len(log_probs):
        raise ValueError(
            f"{place}: log_probs: {len(log_probs)} values for {len(texts)} candidates; "
            "expected as many."
        )


def _is_list(value, kinds):
    return isinstance(value, list) and all(
        isinstance(item, kinds) and not isinstance(item, bool) for item in value
    )
