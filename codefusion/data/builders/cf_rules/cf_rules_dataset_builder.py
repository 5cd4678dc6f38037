"""The tfds builder of `cf_rules`."""

from codefusion.data.builders import base


class Builder(base.PairsBuilder):
    """Reads and stores the rows of `cf_rules`."""
