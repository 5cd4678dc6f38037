"""What the cells of a table hold: a number of stored scores, or a fact beside them.

Scores of one data set that differ in seeds alone share a cell. Its `value` is the mean
over seeds and `low` and `high` are the mean ends of the seeds' intervals over rows;
`lowest` and `highest` seed are there only where there are several, with their number.
"""

import dataclasses
import numbers
import statistics


@dataclasses.dataclass(frozen=True)
class Column:
    """A number with an interval that a file of scores holds.

    Attributes:
      group: heading over several columns.
      title: heading of this one.
      path: keys down to the summary with `centre`, `low` and `high`.
      dataset: whose scores; None for any, if a line has but one.
      scale: what to multiply by.
      digits: how many to print after the point.
      centre: key of the number itself.
    """

    group: str
    title: str
    path: tuple[str, ...]
    dataset: str | None = None
    scale: float = 100.0
    digits: int = 1
    centre: str = "mean"

    def cell(self, line, row):
        """Returns the cell of a row, dict: empty, `text`, or `value`, `low`, `high`.

        Args:
          line: files read, dict: data set -> list with one for each seed.
          row: cells of this row so far, dict: (group, title) -> cell.
        """
        found = _of(line, self.dataset)
        if reason := _unavailable(found, self.path):
            return {"text": reason}
        summaries = [_at(scores, self.path) or {} for scores in found]
        values = [summary.get(self.centre) for summary in summaries]
        if not values or None in values:
            return {}
        ends = {
            end: self._mean(summary[end] for summary in summaries)
            for end in ("low", "high")
        }
        cell = {"value": self._mean(values)} | ends
        return cell | _spread([self.scale * value for value in values])

    def _mean(self, values):
        return round(self.scale * statistics.fmean(values), 6)


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number or a word without an interval; over seeds, the mean or all the words.

    Attributes:
      group, title, path, dataset, scale, digits: as in `Column`.
    """

    group: str
    title: str
    path: tuple[str, ...]
    dataset: str | None = None
    scale: float = 1.0
    digits: int = 1

    def cell(self, line, row):
        """Returns the cell of a row: empty, `text` or `value`; see `Column.cell`."""
        values = [_at(scores, self.path) for scores in _of(line, self.dataset)]
        if not values or None in values:
            return {}
        if not all(isinstance(value, numbers.Real) for value in values):
            return {"text": ", ".join(dict.fromkeys(map(str, values)))}
        scaled = [self.scale * value for value in values]
        is_one = len(set(scaled)) == 1
        cell = {"value": round(statistics.fmean(scaled), 6)}
        return cell | ({} if is_one else _spread(scaled))


@dataclasses.dataclass(frozen=True)
class MeanColumn:
    """The mean of columns before it in a row, blank if one of them is.

    Attributes:
      group: heading over several columns; those of it are meant.
      over: titles of these columns.
      title: heading of this one.
      digits: how many to print after the point.
    """

    group: str
    over: tuple[str, ...]
    title: str = "mean"
    digits: int = 1

    def cell(self, line, row):
        """Returns the cell of a row; see `Column.cell`."""
        values = [row[self.group, title].get("value") for title in self.over]
        if None in values:
            return {}
        return {"value": round(statistics.fmean(values), 6)}


def _spread(values):
    """Returns the part of a cell that tells of several seeds, {} of one."""
    if len(values) == 1:
        return {}
    low, high = round(min(values), 6), round(max(values), 6)
    return {"seeds": len(values), "lowest": low, "highest": high}


def _of(line, dataset):
    """Returns the files of a data set, list; of the only one where it is None."""
    if dataset is not None:
        return line.get(dataset, [])
    return next(iter(line.values())) if len(line) == 1 else []


def _unavailable(found, path):
    """Returns why a metric could not be computed, "" where it was."""
    reasons = (
        scores.get("unavailable", {}).get(key) for scores in found for key in path
    )
    return next(filter(None, reasons), "")


def _at(found, path):
    """Returns what lies at the end of a path of keys, None where nothing does."""
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found
