"""What a table's config file asks for: the runs that its `sweep(add)` adds."""

import pathlib
import runpy
from typing import NamedTuple

from codefusion import checks
from codefusion.commands import trained
from codefusion.evaluation import tables


class Run(NamedTuple):
    """One run of a table, of one seed.

    Attributes:
      name: of the run; its folder in the table's work directory, unless `base` is set.
      file: its config file, FILE[:arg].
      title: of its line in the table.
      beside: the paper's system under which the line stands, "" for the end.
      changes: dotted key -> value, what differs from the file.
      scores: a stored file to use in place of a run, or "".
      seed: the config's seed; None for that of the file.
      base: the `Run` whose weights it is evaluated with; None for its own.
      on_request: whether it is only trained where --rows names it.
    """

    name: str
    file: str
    title: str
    beside: str
    changes: dict
    scores: str = ""
    seed: int | None = None
    base: "Run | None" = None
    on_request: bool = False

    @property
    def trained(self):
        """The `Run` that is trained."""
        return self.base or self

    @property
    def settings(self):
        """The file and what differs from it but the seed, str; "" with `scores`."""
        if self.scores:
            return ""
        flat = {}
        for key, value in self.changes.items():
            if isinstance(value, dict):  # a section, in the place of an earlier one
                flat = {k: v for k, v in flat.items() if not k.startswith(f"{key}.")}
                flat |= checks.flatten(value, key)
            else:
                flat[key] = value
        flat.pop("seed", None)
        told = [f"{key}={value}" for key, value in flat.items()]
        return self.file + (f" with {', '.join(told)}" if told else "")


class Asked(NamedTuple):
    """What a table's file asks for.

    Attributes:
      table: name in `evaluation.tables.TABLES`.
      runs: list of `Run`.
      notes: sentences that stand under the table, tuple of str.
    """

    table: str
    runs: list
    notes: tuple


class Sweep:
    """The `add` of a table's `sweep(add)`.

    Attributes:
      runs: what was added so far, list of `Run`.
    """

    def __init__(self, folder):
        self.runs = []
        self._rows = {}
        self._folder = folder

    def __call__(
        self,
        name,
        file="",
        *,
        title="codefusion (ours)",
        beside="CodeFusion 75M",
        seeds=None,
        changes=None,
        scores="",
        of="",
        on_request=False,
    ):
        """Adds a row: a run for each seed, or one.

        Args:
          name: of the row; of each run too, with `_seedN` behind it if there are seeds.
          file: the config file, FILE[:arg]; none where `of` is given.
          title, beside, scores, on_request: as in `Run`.
          seeds: values of the config's `seed`, sequence; None for that of the file, or
            for all seeds of the row `of`.
          changes: dotted key -> value, what differs from the file.
          of: name of a row before it whose weights it takes; then `changes` may only
            touch sections that no weight depends on.
        """
        if name in self._rows:
            raise ValueError(f"{name!r} is the name of two rows; expected one.")
        if bool(file) == bool(of):
            raise ValueError(f"{name}: expected either a file or of=, a row's name.")
        changes = changes or {}
        bases = self._bases(name, of, seeds, changes) if of else {}
        self._rows[name] = [
            self._run(name, file, seed, changes, bases.get(seed))._replace(
                title=title, beside=beside, scores=scores, on_request=on_request
            )
            for seed in (bases or (seeds if seeds is not None else [None]))
        ]
        self.runs += self._rows[name]

    def runs_of(self, file):
        """Adds the rows of another table's file.

        Args:
          file: its path from the folder of this one.
        """
        outer, path = self._folder, self._folder / file
        module = _module(str(path), ("sweep",))
        self._folder = path.parent
        module["sweep"](self)
        self._folder = outer

    def _run(self, name, file, seed, changes, base):
        if base is not None:
            file, changes = base.file, base.changes | changes
        elif seed is not None:
            changes = {"seed": seed} | changes
        name = name if seed is None else f"{name}_seed{seed}"
        return Run(name, file, "", "", changes, seed=seed, base=base)

    def _bases(self, name, of, seeds, changes):
        """Returns the runs of a row by seed, dict, those that are asked for."""
        if of not in self._rows:
            raise ValueError(
                f"{name}: of is {of!r}; expected a row before it, one of "
                f"{', '.join(self._rows) or 'none'}."
            )
        for key in changes:
            if key.split(".")[0] not in trained.FREE:
                raise ValueError(
                    f"{name}: changes sets {key}, but of={of!r} is a trained run; "
                    f"only {', '.join(trained.FREE)} may change after training."
                )
        bases = {run.seed: run.trained for run in self._rows[of]}
        for seed in seeds or ():
            if seed not in bases:
                raise ValueError(
                    f"{name}: seeds has {seed}, but {of!r} has {[*bases]}; expected "
                    "seeds of it."
                )
        return {seed: bases[seed] for seed in (seeds or bases)}


def read(config_file):
    """Returns what a table's file asks for, an `Asked`."""
    file = config_file.partition(":")[0]
    module = _module(file, ("TABLE", "sweep"))
    if module["TABLE"] not in tables.TABLES:
        raise ValueError(
            f"{file}: TABLE is {module['TABLE']!r}; expected one of "
            f"{', '.join(sorted(tables.TABLES))}."
        )
    notes = module.get("NOTES", ())
    if isinstance(notes, str):
        raise ValueError(f"{file}: NOTES is a str; expected a tuple of sentences.")
    add = Sweep(pathlib.Path(file).parent)
    module["sweep"](add)
    return Asked(module["TABLE"], add.runs, tuple(notes))


def _module(file, names):
    """Returns what a table's file defines, a dict that has the names."""
    if not pathlib.Path(file).is_file():
        raise ValueError(f"{file} is not a file; expected one of a table.")
    module = runpy.run_path(file)
    missing = set(names) - set(module)
    if missing:
        raise ValueError(
            f"{file} lacks {', '.join(sorted(missing))}; expected TABLE, one of "
            f"{', '.join(sorted(tables.TABLES))}, and sweep(add)."
        )
    return module
