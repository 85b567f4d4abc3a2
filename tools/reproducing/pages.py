"""Fill the blocks of the pages from what is kept in docs/results.

    python tools/reproduce.py pages
    python tools/reproduce.py pages --check

People write the pages, README.md and docs/. A table stands between `<!-- table: NAME ARGUMENTS -->` and `<!-- end -->`,
a number in a sentence between `<!-- value: NAME ARGUMENTS -->` and the same end; `<!-- figure: NAME FILE … -->` names a
picture, which --figures draws anew. --check changes nothing: it tells what is not as the kept results say, and which
links lead nowhere.
"""
import glob
import os
import re
import shlex
import sys
from functools import partial
from typing import List, Sequence

from ademxapp.cli import Parser, UsageError
from ademxapp.files import write_text

from .blocks import BLOCKS, FIGURES

BLOCK = re.compile(r"(<!-- (table|value|figure): ([^>]*) -->)(.*?)(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")
PLACE = re.compile(r'[" (=]/(work|home|root|tmp|usr|mnt)/')  # of some machine


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py pages`."""
    parser.description = __doc__
    parser.add_argument("pages", nargs="*", metavar="FILE", help="(default: README.md, and all in docs)")
    parser.add_argument("--check", action="store_true", help="only tell what is not as it should be")
    parser.add_argument("--figures", action="store_true", help="draw the figures too")


def run(pages: Sequence[str], check: bool, figures: bool) -> int:
    """Fill or check the pages; 1 if the check finds something, else 0."""
    wrong = []
    for path in pages or ["README.md", *sorted(glob.glob("docs/**/*.md", recursive=True))]:
        with open(path, encoding="utf-8") as source:
            before = source.read()
        after = BLOCK.sub(partial(filled, path=path, figures=figures), before)
        if check:
            wrong += stale(path, before, after) + [f"{path}: {link} leads nowhere" for link in LINK.findall(before)
                                                   if "://" not in link and not os.path.exists(beside(path, link))]
            wrong += [f"{path} has the place of a machine: {place[0]}" for place in PLACE.finditer(before)]
        elif after != before:
            write_text(path, after)
    print("".join(f"{line}\n" for line in wrong), end="", file=sys.stderr)
    return int(bool(wrong))


def filled(found: "re.Match[str]", path: str, figures: bool) -> str:
    """A block with what belongs into it."""
    mark, kind, words, body, end = found.groups()
    name, *arguments = shlex.split(words)
    known = FIGURES if kind == "figure" else BLOCKS
    if name not in known:
        raise ValueError(f"{path}: there is no {kind} {name}: there are {', '.join(known)}")
    if kind == "figure":
        if figures:
            FIGURES[name](beside(path, arguments[0]), *arguments[1:])
        return found[0]
    text = BLOCKS[name](*arguments)
    return f"{mark}{text}{end}" if kind == "value" else f"{mark}\n\n{text}\n\n{end}"


def stale(path: str, before: str, after: str) -> List[str]:
    """The blocks that are not as they should be."""
    pairs = zip(BLOCK.finditer(before), BLOCK.finditer(after))
    return [f"{path}: {old[3]}: is not what the kept results say: python tools/reproduce.py pages fills it"
            for old, new in pairs if old[0] != new[0]]


def beside(path: str, link: str) -> str:
    """Where a page's link leads."""
    return os.path.join(os.path.dirname(path), link)


def add_show_arguments(parser: Parser) -> None:
    """Add the arguments of `reproduce.py show`."""
    parser.add_argument("name", choices=sorted(BLOCKS), metavar="NAME", help=", ".join(sorted(BLOCKS)))
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="as in the pages' marks, such as 1 or 2 for "
                        "miniature, peak=19.5 for full-scale")


def show(name: str, arguments: Sequence[str]) -> int:
    """Print a block."""
    try:
        print(BLOCKS[name](*arguments))
    except TypeError as error:
        raise UsageError(f"show {name}: {error}") from None
    return 0
