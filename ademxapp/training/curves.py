"""What is shown of a training: learning curves; and in TensorBoard scalars, and pictures of the first images."""
import os
from typing import Any, Dict, List

import numpy as np

from ademxapp.files import replacing

_PANELS = (("loss", "loss"), ("accuracy", "accuracy"), ("lr", "learning rate"))
INSTALL = "pip install 'ademxapp[tensorboard]' (in a clone of the project: pip install -e '.[tensorboard]')"
_PLACES = ("epoch", "batch", "batches", "top_class")  # numbers of a report or a validation that are no measurements


def plot_curves(reports: List[Dict[str, Any]], validations: List[Dict[str, Any]], path: str, batches: int) -> None:
    """Draw loss, accuracy, learning rate and, where there are any, validation scores over epochs, as a PNG.

    `reports` are those of training, `batches` to an epoch; `validations` have an epoch and scores (list of dict both).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: it takes a second to import
    from matplotlib.figure import Figure

    panels = len(_PANELS) + bool(validations)
    width = 4 * panels
    figure = Figure(figsize=(width, 3.2))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(0.55 / width, 0.15, 1 - 0.2 / width, 0.9, wspace=0.25)  # a layout that fits doubles the time
    epochs = [report["epoch"] - 1 + report["batch"] / batches for report in reports]
    for place, (name, title) in enumerate(_PANELS, 1):
        axes = _axes(figure, panels, place, title)
        axes.plot(epochs, [float("nan") if report[name] is None else report[name] for report in reports], linewidth=1.2)
    if validations:
        axes = _axes(figure, panels, panels, "validation")
        for name in validations[0]:
            if name not in ("epoch", "seconds"):
                axes.plot([row["epoch"] for row in validations], [row[name] for row in validations], marker=".",
                          linewidth=1.2, label=name.replace("_", " "))
        axes.legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


def _axes(figure: Any, panels: int, place: int, title: str) -> Any:  # Matplotlib's, which is imported late
    axes = figure.add_subplot(1, panels, place)
    axes.set_xlabel("epoch")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return axes


class Board:
    """Writes a run's event files.

    Parameters
    ----------
    folder : str
        Of these files alone; TensorBoard compares those that lie side by side.
    batches : int
        Of an epoch: what is shown stands at a number of batches.
    done : int
        Batches done before; what an earlier start wrote of later ones is not shown.

    Raises ImportError, which says what to install.
    """

    def __init__(self, folder: str, batches: int, done: int = 0) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(f"--tensorboard needs tensorboardX ({error}): {INSTALL}") from None
        os.makedirs(folder, exist_ok=True)
        self._writer, self._batches = SummaryWriter(folder, purge_step=done), batches
        self._pictures: Dict[str, np.ndarray] = {}

    def report(self, report: Dict[str, Any]) -> None:
        """Show a report of `Progress`."""
        self._show("training", report, (report["epoch"] - 1) * self._batches + report["batch"])

    def picture(self, name: str, picture: np.ndarray) -> None:
        """Keep a picture, (H, W, 3) uint8, for the validation that is under way."""
        self._pictures[name] = picture

    def validation(self, row: Dict[str, Any]) -> None:
        """Show the scores of a validation, and its pictures."""
        step = row["epoch"] * self._batches
        for name, picture in self._pictures.items():
            self._writer.add_image(f"validation/{name}", picture, step, dataformats="HWC")
        self._show("validation", row, step)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._writer.close()

    def _show(self, part: str, values: Dict[str, Any], step: int) -> None:
        for name, value in values.items():
            if value is not None and name not in _PLACES:
                self._writer.add_scalar(f"{part}/{name}", value, step)
        self._writer.flush()
