"""Errors, and how they are told."""

class UsageError(ValueError):
    """Wrong use of a command: exit status 2."""


def one_line(error: BaseException) -> str:
    """The message of an exception, without line breaks."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(names), error.strerror] if names else [error.strerror])
    text = str(error)
    if "MXNetError: " in text:  # behind a traceback of C++
        text = text.rpartition("MXNetError: ")[2]
    return " ".join(text.split()) or type(error).__name__
