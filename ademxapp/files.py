"""Files appear whole under their final name, or not at all; one process at a time has them; values are kept in them."""
import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import uuid
from typing import Any, Callable, ClassVar, Dict, Iterator, Optional

import yaml

try:
    import fcntl
except ImportError:  # no Unix
    fcntl = None  # type: ignore[assignment]

PART = ".part-"  # what files are called until they are whole
_LONGEST = 200  # bytes of a name; most file systems have 255
LARGEST_YAML = 2 ** 20  # bytes: seconds of work
DEEPEST_YAML = 50  # brackets within brackets: PyYAML's time grows with their square
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # what file systems without locks answer
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
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_text(path: str) -> str:
    """What a text file (UTF-8) has."""
    with open(path, encoding="utf-8") as source:
        return source.read()


def read_json(path: str) -> Any:
    """What a JSON file has."""
    return json.loads(read_text(path))


def append_json(path: str, value: Any) -> None:
    """Add a value to a file that has one in each line."""
    with open(path, "a", encoding="utf-8") as out:
        out.write(json.dumps(value) + "\n")


def read_yaml(path: str) -> Any:
    """What a YAML file of users holds: mappings, lists, texts, numbers, true, false and null; dates are texts.

    An alias may stand for a text or number only. Raises OSError, or ValueError with one line that names the file.
    """
    size = os.path.getsize(path)
    if size > LARGEST_YAML:
        raise ValueError(f"{path} is no YAML file of this program: it has {size:,} bytes, wanted at most "
                         f"{LARGEST_YAML:,}")
    try:
        with open(path, "rb") as source:  # UTF-8, or UTF-16 where a mark says so
            return yaml.load(source, _Loader)
    except (yaml.YAMLError, ValueError, LookupError) as error:  # PyYAML lets some of what int() and others raise pass
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path} is no YAML file of this program: it is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """SafeLoader without the types that JSON does not have and without what grows: a hostile file costs little."""

    yaml_constructors: ClassVar[Dict[Any, Any]] = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (
        f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map"))}
    yaml_constructors["tag:yaml.org,2002:timestamp"] = yaml.SafeLoader.construct_yaml_str
    yaml_constructors[None] = yaml.SafeLoader.construct_undefined

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= DEEPEST_YAML:
            raise yaml.scanner.ScannerError(None, None, f"more than {DEEPEST_YAML} brackets within each other",
                                            self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def compose_node(self, parent: Any, index: Any) -> Any:
        alias = self.peek_event() if self.check_event(yaml.AliasEvent) else None
        node = super().compose_node(parent, index)
        if alias is not None and not isinstance(node, yaml.ScalarNode):  # lists of lists of … would grow beyond measure
            raise yaml.composer.ComposerError(None, None, f"the alias *{alias.anchor} stands for more than one value",
                                              alias.start_mark)
        return node


def digest(path: str, kind: str = "sha256") -> str:
    """The digest of a file in hexadecimal digits; `kind` is one of hashlib's, such as "md5"."""
    found = hashlib.new(kind)
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


@contextlib.contextmanager
def only_one(path: str, taken: str) -> Iterator[None]:
    """Hold the file `path`, made if need be; ValueError(taken) if another process holds it.

    The system lets it go when the process ends, however. Where the file system has no locks (some of clusters), a file
    beside it that names the holder stands for one, and the log says so.
    """
    with open(path, "ab") as file, contextlib.ExitStack() as stack:
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no locks")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(taken) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logging.getLogger("ademxapp").warning(
                "warning: there are no locks of files for %s: %s.held stands for one", path, path)
            stack.enter_context(_held(f"{path}.held", taken))
        yield


@contextlib.contextmanager
def _held(path: str, taken: str) -> Iterator[None]:
    """Hold a file that names this process and its machine: there cannot be two of that name."""
    def write() -> None:
        with open(path, "x", encoding="utf-8") as out:
            out.write(f"{os.getpid()} {socket.gethostname()}")

    try:
        write()
    except FileExistsError:
        process, _, host = read_text(path).partition(" ")  # nothing where it is being written
        if host != socket.gethostname() or _is_running(int(process)):
            raise ValueError(f"{taken}; if process {process or 0} on {host or '?'} has ended, remove {path}") from None
        os.unlink(path)  # it ended without a chance to
        write()
    try:
        yield
    finally:
        os.unlink(path)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno == errno.EPERM  # another user's
    return True


def kept(path: str, inputs: Values, make: Optional[Callable[[], Values]] = None, name: str = "it") -> Optional[Values]:
    """The values that a file keeps under a name, if they are of these `inputs`; else what `make` gives, kept there.

    None where nothing makes them. An input that is None is one that cannot be told now: whatever it was counts.
    """
    known = _read(path).get(name)
    untold = {key: None for key, value in inputs.items() if value is None}
    if known is not None and {**known["inputs"], **untold} == inputs:
        return known["values"]
    if make is None:
        return None
    values = make()
    write_json(path, {**_read(path), name: {"inputs": inputs, "values": values}})  # others were kept while it was made
    return values


def is_known(path: str, name: str = "it") -> bool:
    """Whether a file keeps something under a name, of whatever inputs."""
    return name in _read(path)


def _read(path: str) -> Dict[str, Dict[str, Values]]:
    """{name: {"inputs": …, "values": …}} of a file, empty where there is none or it is damaged."""
    try:
        return {name: {key: dict(one[key]) for key in ("inputs", "values")} for name, one in read_json(path).items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def without_places(arguments: Values) -> Values:
    """Arguments without the places of this machine: of an absolute path its last part stays."""
    return {name: f"…/{os.path.basename(value)}" if isinstance(value, str) and os.path.isabs(value) else value
            for name, value in arguments.items()}
