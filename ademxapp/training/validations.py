"""Validations inside a training: when, how they are reported, and the best checkpoint."""
import json
import time
from logging import Logger
from typing import TYPE_CHECKING, Callable, Dict, Optional

from ademxapp.files import write_text
from ademxapp.stopping import StopRequests
from ademxapp.training.curves import Board
from ademxapp.training.progress import clock, read_reports
from ademxapp.weights.description import write_description
from ademxapp.weights.parameters import Parameters, save_parameters

if TYPE_CHECKING:
    from ademxapp.training.fit import Plan


class Validations:
    """Tests a run's parameters after its epochs, as its plan says.

    `validate` gives the scores, {name: number}, of `Parameters`, or is None; the first decides which checkpoint is the
    best. A signal ends a validation at once: `stop` are the run's `StopRequests`. `board` shows the scores.
    """

    def __init__(self, plan: "Plan", validate: Optional[Callable[[Parameters], Dict[str, float]]], stop: StopRequests,
                 log: Logger, board: Optional[Board] = None) -> None:
        self._plan, self._validate, self._stop, self._log, self._board = plan, validate, stop, log, board
        self._path = f"{plan.path}_val"

    def resume(self, epoch: int, parameters: Parameters, inside: bool) -> None:
        """Forget those of later epochs; make up for that after `epoch`, unless the run goes on `inside` the next."""
        before = read_reports(self._path)
        kept = [row for row in before if row["epoch"] <= epoch]
        if len(kept) < len(before):
            write_text(f"{self._path}.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
        if not inside and not any(row["epoch"] == epoch for row in kept):
            self.after_epoch(epoch, parameters)

    def after_epoch(self, epoch: int, parameters: Parameters) -> None:
        """Validate if it is time: a line for `<label>_val.jsonl`, and perhaps the best checkpoint."""
        if self._validate is None or not self._plan.validates(epoch):
            return
        start = time.monotonic()
        with self._stop.at_once():
            scores = self._validate(parameters)
        name, score = next(iter(scores.items()))
        before = [row[name] for row in read_reports(self._path)]
        row = {"epoch": epoch, **scores, "seconds": round(time.monotonic() - start, 1)}
        best = not before or score > max(before)
        if best:
            save_parameters(f"{self._plan.path}_best.params", parameters)
            write_description(f"{self._plan.path}_best.params", {**row, **self._plan.about})
        with open(f"{self._path}.jsonl", "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")
        if self._board:
            self._board.validation(row)
        self._log.info("validation after epoch %d: %s, in %s; %s", epoch, ", ".join(
            f"{key} {value:.2f}" for key, value in scores.items()), clock(row["seconds"]),
            f"the best, kept as {self._plan.label}_best.params" if best else f"the best was {max(before):.2f}")
