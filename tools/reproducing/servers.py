"""What a benchmark's server alone can say of an entry: its answer, which the user writes down beside the entry.

The answer to `<folder>.tgz` is `<folder>_answer.json`, for instance {"mean_iou": 82.5, "IoU of aeroplane": 94.4}, in
percent: columns of the paper's tables.
"""
import json
import os
from typing import Dict, Optional, Sequence

from ademxapp.paper import SCORES, class_column


def answer_path(entry: str) -> str:
    """Where the answer to an entry is looked for."""
    return f"{os.path.splitext(entry)[0]}_answer.json"


def how_to_answer(entry: str) -> str:
    """What the user does with an entry."""
    path = answer_path(entry)
    older = " (which is older than the entry now)" if os.path.exists(path) and not is_current(entry) else ""
    return ("the labels are with the benchmark's server alone: the same command makes this entry for it, once the rest "
            f"is there; what it answers goes into `{path}`{older}, such as {{\"mean_iou\": 80.1}}")


def is_current(entry: str) -> bool:
    """Whether there is an answer, and it was written down after the entry."""
    path = answer_path(entry)
    return os.path.exists(path) and os.path.exists(entry) and os.path.getmtime(path) >= os.path.getmtime(entry)


def read_answer(entry: str, class_names: Sequence[str]) -> Optional[Dict[str, float]]:
    """The answer to an entry, {column: percent}, or None where there is none, or only that to an older entry.

    ValueError where it has other columns, or values that are no percentages.
    """
    path, known = answer_path(entry), [*SCORES, *map(class_column, class_names)]
    if not is_current(entry):
        return None
    try:
        with open(path, encoding="utf-8") as source:
            answer = json.load(source)
        wrong = [name for name, value in answer.items() if name not in known or isinstance(value, bool)
                 or not isinstance(value, (int, float)) or not 0 <= value <= 100]
    except (ValueError, AttributeError):
        raise ValueError(f"{path} is no answer: wanted percentages, such as {{\"mean_iou\": 80.1}}") from None
    if wrong:
        raise ValueError(f"{path}: {wrong[0]!r}: {answer[wrong[0]]!r}: wanted percentages of {', '.join(known[:7])}, …")
    return answer
