"""Files appear whole under their final name, or not at all; one process at a time has them; values are kept in them."""
import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import uuid
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

try:
    import fcntl
except ImportError:  # no Unix
    fcntl = None  # type: ignore[assignment]

PART = ".part-"  # what files are called until they are whole
_LONGEST = 200  # bytes of a name; most file systems have 255
# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
Values = Dict[str, Any]  # of what JSON has


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give a temporary path beside `path`; what is written there takes that name when the block ends well.

    An OSError of it that names no file, as a full disk's, or the temporary one, names `path`.
    """
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    temporary = part_beside(path)
    try:
        with open(temporary, "xb"):  # not by mkstemp, so that the file has the permissions that the umask leaves
            pass
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, temporary):
            raise
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def part_beside(path: str) -> str:
    """A path of its own beside `path`, whose name says what it is a part of."""
    folder, name = os.path.split(os.path.abspath(path))
    known = name if len(os.fsencode(name)) <= _LONGEST else os.path.splitext(name)[1]
    return os.path.join(folder, f"{PART}{uuid.uuid4().hex[:12]}-{known}")


def remove_parts(folder: str, owned: Callable[[str], bool] = lambda name: True) -> None:
    """Remove what killed processes left in a folder while they wrote files whose names are `owned`."""
    for name in os.listdir(folder or "."):
        if name.startswith(PART) and owned(name[len(PART):].partition("-")[2]):
            path = os.path.join(folder, name)
            (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)


def write_text(path: str, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all; in names of files, bytes that are no UTF-8 stay as they are."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors="surrogateescape") as out:
        out.write(text)


def write_json(path: str, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=False) + "\n")


def digest(path: str, kind: str = "sha256") -> str:
    """The digest of a file in hexadecimal digits; `kind` is one of hashlib's, such as "md5"."""
    found = hashlib.new(kind)
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def without_copy_number(stem: str) -> str:
    """A file's name, without its extension, without the `(1)` that browsers put behind one that was there already."""
    return re.sub(r" ?\(\d+\)$", "", stem)


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


def kept(path: str, inputs: Values, make: Optional[Callable[[], Values]] = None, name: str = "it"
         ) -> Optional[Values]:
    """The values that a file keeps under a name, if they are of these `inputs`; else what `make` gives, kept there.

    None where there are none and nothing makes them. An input that is None is one that cannot be told now: whatever it
    was counts.
    """
    records = _read(path)
    known, values = records.get(name, (None, None))
    if known is not None and {**known, **{key: None for key, value in inputs.items() if value is None}} == inputs:
        return values
    if make is None:
        return None
    values = make()
    records = {**_read(path), name: (inputs, values)}  # once more: what is made may have been kept beside it
    write_json(path, {one: dict(zip(("inputs", "values"), record)) for one, record in records.items()})
    return values


def is_known(path: str, name: str = "it") -> bool:
    """Whether a file keeps something under a name, of whatever inputs."""
    return name in _read(path)


def _read(path: str) -> Dict[str, tuple]:
    """{name: (inputs, values)} of a file, empty where there is none or it is damaged."""
    try:
        with open(path, encoding="utf-8") as source:
            return {name: (dict(record["inputs"]), dict(record["values"]))
                    for name, record in json.load(source).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def without_places(arguments: Values) -> Values:
    """Arguments without the places of this machine: of an absolute path its last part stays."""
    return {name: f"…/{os.path.basename(value)}" if isinstance(value, str) and os.path.isabs(value) else value
            for name, value in arguments.items()}
