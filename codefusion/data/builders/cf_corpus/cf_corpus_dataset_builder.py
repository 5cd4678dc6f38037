"""The tfds builder of `cf_corpus`."""

from codefusion.data.builders import base


class Builder(base.CodeBuilder):
    """Reads and stores the rows of `cf_corpus`."""
