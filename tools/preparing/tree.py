"""The folders that a dataset is downloaded as: a preparer's docstring draws them, and they are checked against that.

    <root>/
      JPEGImages/*.jpg
      train.txt
      coarse/               [--coarse] a note
        <city>/*.png

A drawing starts with the option that names its folder and goes on while lines are indented further. A line is a path
below the less indented line above it; `*` and `<word>` stand for any name. Behind two spaces comes a note. What it
starts with says when the line is needed: `[optional]` never, `[--flag]` with that option, `[with PATH]` where there is
a PATH below the drawing's folder, `[unless PATH or PATH]` where there is none of them; else always.
"""
import glob
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

from ademxapp.cli import UsageError

_HEAD = re.compile(r"^ +<(\w+)>/(?:  |$)")
_LINE = re.compile(r"^( +)(\S+)(?: {2,}(\S.*))?$")


@dataclass(frozen=True)
class Line:
    """A line of a drawing: its text, the pattern of its paths below the drawing's folder, when it is needed."""

    text: str
    pattern: str
    conditions: Tuple[str, ...]

    def needed(self, folder: str, asked: Any) -> bool:
        """Whether the line must be there, with these arguments."""
        for condition in self.conditions:
            word, _, path = condition.partition(" ")
            there = any(_exists(folder, one) for one in path.split(" or "))
            if word == "optional" or (word == "with" and not there) or (word == "unless" and there):
                return False
            if word.startswith("--") and not getattr(asked, word[2:].replace("-", "_")):
                return False
        return True


def drawings(text: str) -> Dict[str, List[Line]]:
    """`{option: [Line, …]}` of every drawing in a docstring."""
    found, lines, stack = {}, None, []
    for row in text.splitlines():
        head, match = _HEAD.match(row), _LINE.match(row)
        if head:
            lines, stack = found.setdefault(head.group(1), []), [(len(row) - len(row.lstrip()), "", ())]
            lines.append(Line(row, "", ()))
        elif lines is not None and match and len(match.group(1)) > stack[0][0]:
            indent, path, note = len(match.group(1)), match.group(2), match.group(3) or ""
            while stack[-1][0] >= indent:
                stack.pop()
            _, above, conditions = stack[-1]
            condition = re.match(r"\[([^]]+)\]", note)
            conditions += (condition.group(1),) if condition else ()
            pattern = os.path.join(above, re.sub(r"<\w+>", "*", path))
            stack.append((indent, pattern, conditions))
            lines.append(Line(row, pattern, conditions))
        else:
            lines = None
    return found


def require_tree(text: str, asked: Any) -> None:
    """UsageError unless there is all that a docstring's drawings need; prints them, with what is missing marked."""
    errors = []
    for option, lines in drawings(text).items():
        folder = getattr(asked, option)
        if folder is None:
            continue
        missing = [line for line in lines if line.needed(folder, asked) and not _exists(folder, line.pattern)]
        if missing:
            print("\n".join(line.text + ("    <-- missing" if line in missing else "") for line in lines))
            errors.append(_message(option, folder, [line.pattern for line in missing if line.pattern]))
    if errors:
        raise UsageError("; ".join(errors))


def _message(option: str, folder: str, patterns: List[str]) -> str:
    tops = [pattern for pattern in patterns
            if not any(pattern != other and pattern.startswith(other.rstrip("/") + "/") for other in patterns)]
    more = f" and {len(tops) - 1} more" if len(tops) > 1 else ""
    return f"--{option} {folder} has no {tops[0]}{more}: wanted the tree that is printed above the error"


def _exists(folder: str, pattern: str) -> bool:
    found = glob.iglob(os.path.join(glob.escape(folder), pattern))
    return next(found, None) is not None
