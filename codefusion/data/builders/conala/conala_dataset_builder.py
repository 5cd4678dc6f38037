"""The tfds builder of `conala`."""

from codefusion.data.builders import base


class Builder(base.PairsBuilder):
    """Reads and stores the rows of `conala`."""
