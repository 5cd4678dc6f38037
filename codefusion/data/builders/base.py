"""The tfds builders' common part: rows of pairs, and code in runs of lines."""

import functools

import tensorflow_datasets as tfds

from codefusion.data.builders import prepare, sources

_RUN = 1024


class PairsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Stores each accepted row as a record of four texts and its repairs.

    Splits are those of the authors, `released_train` and `released_test`; a random
    split is a matter of row ids and is drawn when the data set is opened.
    """

    VERSION = tfds.core.Version("1.0.0")
    # Content hashes are checked by `sources`; without this tfds looks for its own list.
    url_infos = {}
    source_folder = None

    def _info(self):
        names = ("id", "utterance", "code", "table", "repairs")
        features = {name: tfds.features.Text() for name in names}
        return self._describe(features)

    def _describe(self, features):
        return tfds.core.DatasetInfo(
            builder=self,
            description=prepare.module(self.name).__doc__,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    @functools.cached_property
    def outcomes(self):
        """Returns what became of each row of the source files."""
        dataset = prepare.module(self.name)
        folder = sources.data_folder(self.source_folder)
        files = {s.path: sources.read(s, folder) for s in dataset.SOURCES}
        return dataset.read(files)

    def _split_generators(self, dl_manager):
        del dl_manager
        parts = list(dict.fromkeys(o.part for o in self.outcomes))
        return {f"released_{part}": self._generate_examples(part) for part in parts}

    def _accepted(self, part):
        return [o for o in self.outcomes if o.part == part and o.example]

    def _generate_examples(self, part):
        for outcome in self._accepted(part):
            fields = dict(vars(outcome.example), repairs="\n".join(outcome.repairs))
            yield outcome.id, fields


class CodeBuilder(PairsBuilder, skip_registration=True):
    """Stores runs of lines of code: 226,468 records of one short line read slowly."""

    def _info(self):
        names = ("ids", "codes", "repairs")
        text = tfds.features.Text()
        return self._describe({name: tfds.features.Sequence(text) for name in names})

    def _generate_examples(self, part):
        accepted = self._accepted(part)
        for start in range(0, len(accepted), _RUN):
            run = accepted[start : start + _RUN]
            yield (
                start,
                {
                    "ids": [o.id for o in run],
                    "codes": [o.example.code for o in run],
                    "repairs": ["\n".join(o.repairs) for o in run],
                },
            )
