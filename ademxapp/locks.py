"""One process at a time."""
import contextlib
import errno
import logging
import os
import socket
from typing import Iterator, Tuple

try:
    import fcntl
except ImportError:  # no Unix
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what file systems without locks answer


@contextlib.contextmanager
def only_one(path: str, taken: str) -> Iterator[None]:
    """Hold the file `path`, made if need be; ValueError(taken) if another process holds it.

    The system lets it go when the process ends, however. Where the file system has no locks (some of clusters), a file
    beside it that names the holder stands for one, and the log says so.
    """
    with open(path, "ab") as file:
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(taken) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        else:
            yield
            return
    logging.getLogger("ademxapp").warning("warning: there are no locks of files for %s: %s.held stands for one", path,
                                          path)
    with _held(f"{path}.held", taken):
        yield


@contextlib.contextmanager
def _held(path: str, taken: str) -> Iterator[None]:
    """Hold a file that names this process and its machine: there cannot be two of that name."""
    try:
        _write_holder(path)
    except FileExistsError:
        host, process = _holder(path)
        if host != socket.gethostname() or _is_running(process):
            raise ValueError(f"{taken}; if process {process} on {host} has ended, remove {path}") from None
        os.unlink(path)  # it ended without a chance to
        _write_holder(path)
    try:
        yield
    finally:
        os.unlink(path)


def _write_holder(path: str) -> None:
    with open(path, "x", encoding="utf-8") as out:
        out.write(f"{os.getpid()} {socket.gethostname()}")


def _holder(path: str) -> Tuple[str, int]:
    """Machine and process id that a file names; "?" and 0 where it is not written yet."""
    with open(path, encoding="utf-8") as source:
        process, _, host = source.read().partition(" ")
    return host or "?", int(process or 0)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
