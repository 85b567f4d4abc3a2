"""Errors, and how they are told."""
import re

# Of MXNet on CPUs and cards, PyTorch, NumPy, the system.
_OUT_OF_MEMORY = re.compile("failed to allocate|out of memory|(unable to|can.t) allocate", re.IGNORECASE)
_LESS_MEMORY = (": less is needed with a smaller --batch-images or --crop-size, with --backward-do-mirror in training, "
                "with --window where images are segmented")


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
    text = " ".join(text.split()) or ("out of memory" if isinstance(error, MemoryError) else type(error).__name__)
    return text + _LESS_MEMORY if _OUT_OF_MEMORY.search(text) else text
