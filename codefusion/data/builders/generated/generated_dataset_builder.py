"""The tfds builder of `generated`: a seed and sizes of it as array_record files.

    Builder(config=Builder.Config(name="big", size=10**6), file_format="array_record")

Training needs none of this: `DATASETS["generated"]` makes each example on demand.
"""

import dataclasses

import tensorflow_datasets as tfds

from codefusion.data import datasets
from codefusion.data.builders import generated


@dataclasses.dataclass(kw_only=True)
class Config(tfds.core.BuilderConfig):
    """Which examples: the fields of `datasets.Generated` that choose them."""

    size: int = 50_000
    held_out_size: int = 1_000
    seed: int = 0


class Builder(tfds.core.GeneratorBasedBuilder):
    """Stores examples as records of four texts."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [Config(name="default")]
    Config = Config
    # There is nothing to download; without this tfds looks for a list of checksums.
    url_infos = {}

    def _info(self):
        names = ("id", "utterance", "code", "table")
        return tfds.core.DatasetInfo(
            builder=self,
            description=generated.__doc__,
            features=tfds.features.FeaturesDict(
                {name: tfds.features.Text() for name in names}
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(split) for split in datasets.SPLITS}

    def _generate_examples(self, split):
        c = self.builder_config
        dataset = datasets.Generated(
            size=c.size, held_out_size=c.held_out_size, seed=c.seed
        )
        for number, example in enumerate(dataset.examples(split)):
            yield number, dict(vars(example))
