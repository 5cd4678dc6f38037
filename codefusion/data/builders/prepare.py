"""Prepares a data set once as array_record files and reads it back.

A data set is a package `builders/<name>/` with `SOURCES` and `read(files) -> list of
Outcome`, and a tfds builder in `<name>_dataset_builder.py` that stores what `read`
accepts. The prepared folder is named by a hash of the pinned source
hashes and of the code that reads them, so a change of either prepares anew; it appears
by one rename, so two processes may prepare at once.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile

from codefusion.data import readers, rows, syntax
from codefusion.data.builders import sources

_PACKAGE = "codefusion.data.builders"


def module(name):
    """Returns the package of a data set: `SOURCES` and `read`."""
    return importlib.import_module(f"{_PACKAGE}.{name}")


def load(name, data_dir=None):
    """Returns what became of each row of a data set, in file order.

    The data set is prepared first if that was never done on this machine, and the files
    of a folder are checked on every call.

    Args:
      name: name of the package under `builders/`.
      data_dir: folder of the files; None takes `CODEFUSION_DATA`, else downloads.

    Returns:
      tuple of `Outcome`s.
    """
    data_dir = sources.data_folder(data_dir)
    if data_dir is not None:
        for source in module(name).SOURCES:
            sources.read(source, data_dir)
    return _load(name, data_dir, sources.cache_dir())


def key(name):
    """Returns the name of the prepared folder, from all that decides its content."""
    digest = hashlib.sha256()
    for source in module(name).SOURCES:
        digest.update(f"{source.path} {source.sha256}\n".encode())
    digest.update(source_code(name))
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for reader in (rows, readers, syntax):
        digest.update(pathlib.Path(reader.__file__).read_bytes())
    return f"{name}-{digest.hexdigest()[:16]}"


def source_code(name):
    """Returns the source of a data set's package less its tfds builder, bytes.

    It decides which rows there are; the builder only how they are stored.
    """
    paths = sorted(pathlib.Path(module(name).__file__).parent.glob("*.py"))
    paths = [path for path in paths if not path.stem.endswith("_dataset_builder")]
    return b"".join(path.read_bytes() for path in paths)


@functools.lru_cache(maxsize=16)
def _load(name, data_dir, cache):
    folder = cache / "prepared" / key(name)
    if not folder.is_dir():
        _prepare(name, data_dir, folder)
    return _read_back(folder)


def _prepare(name, data_dir, folder):
    """Writes the prepared folder of a data set."""
    logging.info("preparing %s in %s", name, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-")
    except OSError as error:
        raise sources.cache_error(error) from error
    try:
        builder = builder_class(name)(data_dir=scratch, file_format="array_record")
        builder.source_folder = data_dir
        _run_quietly(builder)
        refused = [_refused(o) for o in builder.outcomes if o.error]
        arrays = pathlib.Path(builder.data_dir)
        (arrays / "refused.json").write_text(json.dumps(refused), encoding="utf-8")
        _publish(arrays, folder)
    except OSError as error:
        raise sources.cache_error(error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_quietly(builder):
    """Prepares without tfds's bars and its lines on stdout, which is for results."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()


def _publish(arrays, folder):
    try:
        os.rename(arrays, folder)
    except OSError:
        # Another process was first; its folder holds the same content.
        if not folder.is_dir():
            raise


def builder_class(name):
    """Returns the tfds builder of a data set."""
    place = f"{_PACKAGE}.{name}.{name}_dataset_builder"
    return importlib.import_module(place).Builder


def _refused(outcome):
    return dict(id=outcome.id, part=outcome.part, **dataclasses.asdict(outcome.error))


def _read_back(folder):
    """Returns the outcomes of a prepared folder, sorted by part as stored, then id."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(folder))
    result = []
    for split in builder.info.splits:
        source = builder.as_data_source(split=split)
        part = split.removeprefix("released_")
        for record in source.__getitems__(range(len(source))):
            result.extend(_outcomes(record, part))
    for entry in json.loads((folder / "refused.json").read_text(encoding="utf-8")):
        id, part = entry.pop("id"), entry.pop("part")
        result.append(rows.Outcome(id, part, None, rows.RowError(**entry)))
    return tuple(sorted(result, key=lambda o: (o.part != "train", o.part, o.id)))


def _outcomes(record, part):
    """Yields the outcomes of one stored record: a row, or a run of lines of code."""
    if "codes" in record:
        for id, code, repairs in zip(
            record["ids"], record["codes"], record["repairs"], strict=True
        ):
            example = rows.Example(id.decode(), "", code.decode())
            yield rows.Outcome(example.id, part, example, None, _reasons(repairs))
        return
    fields = {k: v.decode() for k, v in record.items() if k != "repairs"}
    repairs = _reasons(record["repairs"])
    yield rows.Outcome(fields["id"], part, rows.Example(**fields), None, repairs)


def _reasons(stored):
    return tuple(filter(None, stored.decode().split("\n")))
