"""What TensorBoard shows of a training: scalars of every report and validation, pictures of the first images."""
import os
from typing import Any, Dict

import numpy as np

INSTALL = "pip install 'ademxapp[tensorboard]' (in a clone of the project: pip install -e '.[tensorboard]')"
_PLACES = ("epoch", "batch", "batches", "top_class")  # numbers of a report or a validation that are no measurements


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
