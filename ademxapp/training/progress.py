"""What one sees of a training run: a progress bar, a log, a line of JSON and a curve for every report."""
import json
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from tqdm import tqdm

from ademxapp.files import write_text
from ademxapp.training.curves import plot_curves

if TYPE_CHECKING:
    import logging

    from ademxapp.data.loader import Loader
    from ademxapp.training.metrics import TrainingMetric

REPORTS_PER_EPOCH = 8
SECONDS_BETWEEN_CURVES = 60  # drawing takes a quarter of a second
Report = Dict[str, Any]  # a line of `<label>.jsonl`
FIRST_SECONDS, MOST_SECONDS = 30, 180  # of work without a line in the log


class Progress:
    """Reports a run whose batches are counted by `step`.

    Parameters
    ----------
    path : str
        `<output>/<label>`: `.jsonl` and `.png` are written beside it.
    metric : TrainingMetric
        Read and reset at every report.
    position, epochs : int
        Batches done before; epochs to reach.
    loader : Loader
        Has `batches`, `batch_size`, `late`.
    workers : int
        Each with a loader of this batch size.
    """

    def __init__(self, path: str, log: "logging.Logger", metric: "TrainingMetric", position: int, epochs: int,
                 loader: "Loader", workers: int = 1) -> None:
        self._path, self._log, self._metric, self._loader = path, log, metric, loader
        self._position, self._batches, self._total = position, loader.batches, epochs * loader.batches
        self._batch_images = workers * loader.batch_size
        self._draw_time, self._patience = time.monotonic(), FIRST_SECONDS
        self._drawn: Optional[Tuple[int, List[Report]]] = None
        self._said: float
        self.restart_clock()
        self._reports = [report for report in read_reports(path) if self._number(report) <= position]
        write_text(f"{path}.jsonl", "".join(json.dumps(report) + "\n" for report in self._reports))
        self._bar = tqdm(total=self._total, initial=position, unit="batch", desc="training", disable=None,
                         dynamic_ncols=True)

    def step(self, lr: float) -> Optional[Report]:
        """Count a batch that was trained with learning rate `lr`; the report (dict) where one is due, else None.

        Between reports that are long in coming, the log gets lines of speed and time left alone: what is counted for
        the next report, and what is kept of the run, do not depend on the clock.
        """
        self._position += 1
        self._bar.update()
        epoch, batch = (self._position - 1) // self._batches + 1, (self._position - 1) % self._batches + 1
        if reports_after(batch, self._batches):
            return self._report(epoch, batch, lr)
        if time.monotonic() - self._said >= self._patience:
            self._log.info(f"epoch {epoch} batch {batch}/{self._batches}  {_speed_text(self._speed())}")
            self._said, self._patience = time.monotonic(), MOST_SECONDS
        return None

    def restart_clock(self) -> None:
        """Leave the time since the last report out of the speed of the next one."""
        self._said = time.monotonic()
        self._last = self._said, self._position, self._loader.late

    def close(self) -> None:
        """Draw the curves, if there is something new, and end the bar."""
        self._bar.close()
        self._draw()

    def _draw(self) -> None:
        validations = read_reports(f"{self._path}_val")
        shown = len(self._reports), validations
        if self._reports and shown != self._drawn:
            plot_curves(self._reports, validations, f"{self._path}.png", self._batches)
        self._draw_time, self._drawn = time.monotonic(), shown

    def _report(self, epoch: int, batch: int, lr: float) -> Report:
        _, done, late = self._last
        batches = self._position - done
        report = {"epoch": epoch, "batch": batch, "lr": lr, **self._metric.report(), **self._speed(),
                  "batches": batches, "late": (self._loader.late - late) / batches}
        self._patience = MOST_SECONDS
        self.restart_clock()
        self._metric.reset()
        self._reports.append(report)
        with open(f"{self._path}.jsonl", "a", encoding="utf-8") as out:
            out.write(json.dumps(report) + "\n")
        self._log.info(report_line(report, self._batches))
        self._bar.set_postfix(loss=_text(report["loss"]), accuracy=_text(report["accuracy"]))
        if time.monotonic() - self._draw_time >= SECONDS_BETWEEN_CURVES:
            self._draw()
        return report

    def _speed(self) -> Report:
        """What a report says of the speed since the last one."""
        before, done, _ = self._last
        rate = (self._position - done) / max(time.monotonic() - before, 1e-9)
        return {"images_per_s": round(rate * self._batch_images, 2),
                "seconds_left": round((self._total - self._position) / rate)}

    def _number(self, report: Report) -> int:
        return (report["epoch"] - 1) * self._batches + report["batch"]


class NoProgress:
    """What a worker that does not write has for a `Progress`."""

    def step(self, _: float) -> Optional[Report]:
        """Nothing."""

    def restart_clock(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def reports_after(batch: int, batches: int) -> bool:
    """Whether there is a report after the `batch`-th of an epoch's `batches`."""
    return batch % -(-batches // REPORTS_PER_EPOCH) == 0 or batch == batches


def read_reports(path: str) -> List[Report]:
    """The reports (list of dict) in `<path>.jsonl`; none if there is no such file. A line cut short is left out."""
    reports = []
    if os.path.exists(f"{path}.jsonl"):
        with open(f"{path}.jsonl", encoding="utf-8") as lines:
            for line in lines:
                try:
                    reports.append(json.loads(line))
                except json.JSONDecodeError:
                    continue
    return reports


def report_line(report: Report, batches: int) -> str:
    """A report as a line of the log."""
    extra = "".join(f"  {name.replace('_', ' ')} {_text(report[name])}" for name in ("kept", "top_class_share")
                    if name in report)
    return (f"epoch {report['epoch']} batch {report['batch']}/{batches}  lr {report['lr']:.3g}  "
            f"loss {_text(report['loss'], 4)}  accuracy {_text(report['accuracy'])}{extra}  "
            f"{_speed_text(report)}")


def _speed_text(report: Report) -> str:
    return f"{report['images_per_s']:.1f} images/s  remaining {clock(report['seconds_left'])}"


def _text(value: Optional[float], digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
