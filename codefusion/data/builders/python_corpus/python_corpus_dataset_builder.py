"""The tfds builder of `python_corpus`."""

from codefusion.data.builders import base


class Builder(base.CodeBuilder):
    """Reads and stores the rows of `python_corpus`."""
