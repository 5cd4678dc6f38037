"""The error of checkpoints, and errors of others in one line."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or resumed; the message says why."""


def reason(error) -> str:
    """Returns an error in one line, without the traces that libraries append."""
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return " ".join(text.split())[:300].rstrip(".")
