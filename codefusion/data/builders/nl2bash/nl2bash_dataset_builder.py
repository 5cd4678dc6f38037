"""The tfds builder of `nl2bash`."""

from codefusion.data.builders import base


class Builder(base.PairsBuilder):
    """Reads and stores the rows of `nl2bash`."""
