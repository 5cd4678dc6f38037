"""The error of checkpoints, and errors of others in one line."""

import os
import re


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or resumed; the message says why."""


def reason(error) -> str:
    """Returns an error in one line, without the traces that libraries append."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    if code := re.search(r"os_error_code='(\d+)'", text):  # tensorstore's, a long story
        return os.strerror(int(code[1]))
    return " ".join(text.split())[:300].rstrip(".")
