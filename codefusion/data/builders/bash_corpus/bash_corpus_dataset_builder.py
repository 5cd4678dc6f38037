"""The tfds builder of `bash_corpus`."""

from codefusion.data.builders import base


class Builder(base.CodeBuilder):
    """Reads and stores the rows of `bash_corpus`."""
