"""Errors, and how they are told."""
import sys


class UsageError(ValueError):
    """Wrong use of a command: exit status 2."""


def one_line(error):
    """The message of an exception, without line breaks."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(names), error.strerror] if names else [error.strerror])
    text = str(error)
    if isinstance(error, mxnet_errors()):  # with a traceback of C++ before the message
        text = text.rpartition("MXNetError: ")[2]
    return " ".join(text.split()) or type(error).__name__


def mxnet_errors():
    """MXNet's own exception, once it is imported: out of memory, for instance."""
    return (sys.modules["mxnet"].base.MXNetError,) if "mxnet.base" in sys.modules else ()
