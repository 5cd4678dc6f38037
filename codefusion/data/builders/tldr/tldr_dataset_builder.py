"""The tfds builder of `tldr`."""

from codefusion.data.builders import base


class Builder(base.PairsBuilder):
    """Reads and stores the rows of `tldr`."""
