"""What the page of a training shows, running or ended: where it is, its curves so far, its validations."""
import os
from typing import Any, Dict, List, Optional

from ademxapp.cli import UsageError
from ademxapp.training.curves import plot_curves
from ademxapp.training.progress import REPORTS_PER_EPOCH, clock, read_reports

_END, _VALIDATIONS = ".jsonl", "_val"
_TOLD = {"loss": "loss", "accuracy": "accuracy", "lr": "learning rate", "images_per_s": "images per second"}


def training_in(path: str) -> Optional[str]:
    """What the files of a training start with, by a folder that has one, or its <label>.jsonl; None for a test's.

    UsageError for a folder with several.
    """
    if path.endswith(_END):
        return path[:-len(_END)]
    if not os.path.isdir(path) or os.path.isfile(os.path.join(path, "result.json")):
        return None
    names = sorted(name for name in os.listdir(path) if name.endswith(_END) and not name.endswith(_VALIDATIONS + _END))
    if len(names) > 1:
        raise UsageError(f"{path} has {len(names)} trainings: name one, {', '.join(names)}")
    return os.path.join(path, names[0][:-len(_END)]) if names else None


def training_page(run: str, out: str) -> Dict[str, Any]:
    """The page's data; the curves are drawn into its folder. UsageError before the first report."""
    reports, validations = read_reports(run), read_reports(run + _VALIDATIONS)
    if not reports:
        raise UsageError(f"there is no report in {run}{_END} yet")
    last, batches = reports[-1], epoch_batches(reports)
    plot_curves(reports, validations, os.path.join(out, "curves.png"), batches)
    told = [(title, f"{last[name]:.4g}") for name, title in _TOLD.items() if last[name] is not None]
    left = clock(last["seconds_left"]) if last["seconds_left"] else "none: it has ended"
    scores = [name for name in (validations[-1] if validations else {}) if name not in ("epoch", "seconds")]
    return {"title": os.path.basename(run), "segmentation": "kept" in last, "names": [], "categories": [],
            "facts": [("last report", f"epoch {last['epoch']}, batch {last['batch']}"), ("time left", left), *told],
            "scores": [(name.replace("_", " "), validations[-1][name]) for name in scores],
            "classes": {"columns": [{"name": name.replace("_", " "), "percent": bool(place)}
                                    for place, name in enumerate(["epoch", *scores])],
                        "rows": [{"cells": [f"after epoch {row['epoch']}", *(row.get(name) for name in scores)]}
                                 for row in validations]},
            "heading": "Validations", "confusion": [], "unit": "", "images": [], "note": "", "orders": [],
            "pictures": [], "curves": "curves.png"}


def epoch_batches(reports: List[Dict[str, Any]]) -> int:
    """Batches of an epoch; before the first has ended as its reports' distance tells."""
    if reports[-1]["epoch"] > reports[0]["epoch"]:
        return max(report["batch"] for report in reports)
    return max(REPORTS_PER_EPOCH * reports[0]["batch"], reports[-1]["batch"])
