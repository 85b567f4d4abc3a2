"""What lies there of the released weights, or in any files of weights: whether it is whole, and fits its network.

A file with the name of a released one must have its MD5. Every file's parameters, in any format that convert knows,
must be those of the network that its name tells, and finite. With --url, released files that are not there are fetched
from a mirror, which has them under the same names; they take their names when their MD5 is right. The exit status is 1
if a file is wrong.
"""
import os

from ademxapp.cli import UsageError, one_line
from ademxapp.weights.checking import problems
from ademxapp.weights.fetching import fetch
from ademxapp.weights.formats import is_format
from ademxapp.weights.released import BY_FILE, RELEASED


def add_arguments(parser):
    """The arguments of `weights.py check`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="files of weights (default: the released ones, and "
                        "what else there is in --folder)")
    parser.add_argument("--folder", default="models", metavar="DIR", help="where the released files lie")
    parser.add_argument("--url", metavar="ADDRESS", help="fetch what is not there from ADDRESS/<name of the file>")


def run(args):
    """Fetch if asked, and print a line for each file; 1 if something is wrong, else None."""
    paths = args.files or folder_files(args.folder)
    if args.url:
        for path in paths:
            fetch_missing(path, args.url)
    wrong = 0
    for path in paths:
        found = told(path)
        missing = not args.files and not os.path.exists(path)
        wrong += bool(found) and not missing
        print(f"{path}: {'not there' if missing else '; '.join(found) or right(path)}", flush=True)
    return 1 if wrong else None


def folder_files(folder):
    """Paths of the released files, there or not, then of the other files of weights in a folder."""
    others = sorted(set(os.listdir(folder)) - set(BY_FILE)) if os.path.isdir(folder) else []
    return [os.path.join(folder, released.file) for released in RELEASED] + [
        os.path.join(folder, name) for name in others if is_format(name)]


def fetch_missing(path, url):
    """Fetch a released file that is not there; UsageError for another one."""
    folder, name = os.path.split(path)
    if os.path.exists(path):
        return
    if name not in BY_FILE:
        raise UsageError(f"{path} is not there, and is none of the released files that a mirror has: weights.py list")
    fetch(url, name, folder or ".", BY_FILE[name].md5)


def told(path):
    """What is wrong with a file, as texts."""
    try:
        return problems(path)
    except OSError as error:
        return [one_line(error).replace(f"{path}: ", "", 1)]


def right(path):
    """What is said of a file that has no problems."""
    return f"right: {'MD5 and ' if os.path.basename(path) in BY_FILE else ''}the parameters of its network"
