"""What every command line program shares: its errors, its log, its arguments' types, and how it gives its results."""
import argparse
import importlib
import io
import logging
import math
import os
import platform
import signal
import sys
import traceback
import warnings
from typing import Any, Callable, Dict, Iterable, NoReturn, Optional, Sequence, Tuple, Type, TypeVar

from tqdm import tqdm

from ademxapp import __version__, engine
from ademxapp.engine.mxnet import backend
from ademxapp.errors import Stopped, UsageError, heeded, leave_terminal, one_line
from ademxapp.files import write_text
from ademxapp.flags import Settings

N = TypeVar("N", int, float)
TABLES = ("table", "markdown", "json")  # forms of a result
LOG = "ademxapp"  # the logger of the programs
USERS_ERRORS = (ValueError, OSError, ImportError, MemoryError)  # told in one line


class Parser(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors: one line, and the help only where it is asked for."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; {self.prog} --help explains")


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the description's line breaks, and names the defaults that there are."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        if action.default in (None, False) or "%(default)" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def make_parser(description: str, settings: Optional[Type[Settings]] = None) -> Parser:
    """A parser whose help keeps the lines of `description`, with the flags of `settings`."""
    parser = Parser(description=description, formatter_class=Formatter, allow_abbrev=False)
    if settings:
        settings.add_to(parser)
    return parser


def run(module_name: str, needs_mxnet: bool = True) -> None:
    """Import a program's module, call its `main()` and end the process.

    A user's error ends with one line on stderr: exit status 2 for wrong use, 1 for failure. `--debug` shows where.
    Without `needs_mxnet` the program starts with a NumPy that MXNet, which is installed, cannot use.
    """
    program = os.path.basename(sys.argv[0])
    if "--debug" in sys.argv:  # before MXNet is imported
        os.environ.setdefault("MXNET_ENGINE_TYPE", "NaiveEngine")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files may have any bytes
    try:
        for number in heeded():
            if number != signal.SIGINT:
                signal.signal(number, _terminated)
        warnings.filterwarnings("ignore", module=r"PIL\.")  # remarks on metadata that nothing here uses
        if needs_mxnet and engine.usual() == "mxnet" and "torch" not in sys.argv:
            backend.prepare()  # before anything else stumbles over the wrong NumPy
        status = importlib.import_module(module_name).main()
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
        status = 130
    except Stopped as stop:
        _tell(program, str(stop))
        status = stop.status
    except Exception as error:
        if "--debug" in sys.argv or not isinstance(error, (*USERS_ERRORS, *engine.errors())):
            traceback.print_exc()
        _tell(program, f"error: {one_line(error)}")
        status = 2 if isinstance(error, UsageError) else 1
    if status and {"DMLC_ROLE", "WORLD_SIZE"} & set(os.environ):  # else it would wait for workers that wait for it
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def _terminated(number: int, _: Any) -> None:
    leave_terminal(number)
    raise Stopped(number)


def _tell(program: str, message: str) -> None:
    """Write to stderr, and to the program's log files, if it has opened any."""
    sys.stderr.write(f"{program}: {message}\n")
    log = logging.getLogger(LOG)
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.emit(log.makeRecord(LOG, logging.ERROR, __file__, 0, message, (), None))


def start_log(path: str, versions: Dict[str, str], debug: bool = False) -> logging.Logger:
    """A log to stderr and to the file `path`; its first lines are the command and `versions` ({name: version})."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    for handler in (_BarHandler(), _FileHandler(path, encoding="utf-8")):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)
    log.info("%s", " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]))
    log.info("%s", ", ".join(f"{name} {version}" for name, version in versions.items()))
    return log


class _FileHandler(logging.FileHandler):
    """Writes names of files as they are, whatever their bytes."""

    def _open(self) -> io.TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors="surrogateescape")


class _BarHandler(logging.Handler):
    """Writes to stderr above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def library_versions(runtime: Optional[Dict[str, str]] = None) -> Dict[str, str]:
    """Versions of what a result depends on, {name: version}; `runtime`: of what runs the network, if no engine does."""
    runtime = runtime or engine.load().versions()
    import cv2  # here: MXNet is to say first which NumPy it can use
    import numpy as np
    import PIL

    return {"ademxapp": __version__, "python": platform.python_version(), **runtime, "numpy": np.__version__,
            "pillow": PIL.__version__, "opencv": cv2.__version__}


def number(kind: Type[N], minimum: Optional[float] = None, maximum: Optional[float] = None) -> Callable[[str], N]:
    """An argparse type: an int or a finite float within bounds, both included."""
    def convert(text: str) -> N:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__}") from None
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text} is no finite number")
        if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            bounds = [f"{word} {bound}" for word, bound in (("at least", minimum), ("at most", maximum))
                      if bound is not None]
            raise argparse.ArgumentTypeError(f"{text} is out of range: wanted {' and '.join(bounds)}")
        return value
    return convert


def numbers(kind: Type[N], minimum: Optional[float] = None, count: Optional[int] = None, distinct: bool = False
            ) -> Callable[[str], Tuple[N, ...]]:
    """An argparse type: a comma-separated list of numbers, as a tuple; `distinct`: none of them twice."""
    one = number(kind, minimum)

    def convert(text: str) -> Tuple[N, ...]:
        values = tuple(one(part) for part in text.split(","))
        if count is not None and len(values) != count:
            raise argparse.ArgumentTypeError(f"{text!r} has {len(values)} numbers, wanted {count}")
        if distinct and len(set(values)) < len(values):
            raise argparse.ArgumentTypeError(f"{text!r} names a number twice")
        return values
    return convert


def file_name(text: str) -> str:
    """An argparse type: a part of a file's name."""
    if not text or "/" in text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a part of a file's name")
    return text


def existing_file(text: str) -> str:
    """An argparse type: the path of a file that can be read."""
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    if not os.access(text, os.R_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be read: check its permissions")
    return text


def require_data(data: Optional[str]) -> str:
    """The folder of the datasets, that of the environment where none is given; UsageError if there is none."""
    found = data or os.environ.get("ADEMXAPP_DATA")
    if not found:
        raise UsageError("no --data DIR, and the environment variable ADEMXAPP_DATA is not set")
    return found


def emit(text: str, path: Optional[str] = None) -> None:
    """Give a program's result: on stdout, or in a file."""
    if path:
        write_text(path, text)
    else:
        sys.stdout.write(text)


def table(columns: Sequence[object], rows: Iterable[Sequence[object]], markdown: bool = False) -> str:
    """Rows of values under their columns' names."""
    lines = [tuple(map(str, columns))] + [tuple(map(str, row)) for row in rows]
    if markdown:
        lines.insert(1, ("---",) * len(columns))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def paragraphs(*parts: str) -> str:
    """A text of those parts that there are."""
    return "\n\n".join(part for part in parts if part) + "\n"
