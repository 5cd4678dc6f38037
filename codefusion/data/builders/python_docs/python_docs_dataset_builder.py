"""The tfds builder of `python_docs`."""

from codefusion.data.builders import base


class Builder(base.PairsBuilder):
    """Reads and stores the rows of `python_docs`."""
