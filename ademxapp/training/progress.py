"""What is counted of a training, and what one sees of it: bar, log, JSON, curves, TensorBoard; and what goes wrong."""
import contextlib
import json
import os
import time
from logging import Logger
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import numpy as np
from tqdm import tqdm

from ademxapp.files import append_json, replacing, write_text
from ademxapp.training.shared import Alone

if TYPE_CHECKING:
    from ademxapp.data.loader import Loader

REPORTS_PER_EPOCH = 8
SECONDS_BETWEEN_CURVES = 60  # drawing takes a quarter of a second
Report = Dict[str, Any]  # a line of `<label>.jsonl`
PLACES = ("epoch", "batch", "batches", "top_class")  # numbers of a report or a validation that are no measurements
FIRST_SECONDS, MOST_SECONDS = 30, 180  # of work without a line in the log
COLLAPSED, MIXED = 0.98, 0.9  # shares: of the predictions in one class, of the truth in it
MIN_BATCHES = 50  # before a collapse is told from a beginning
LATE = 0.5  # share of late batches from which reading is the bottleneck
IN_A_ROW = 2  # reports
LABELS = ("tools/report.py data shows the labels as they are read; label_ids and ignored_ids in a --dataset-file say "
          "which values are classes")


class TrainingMetric:
    """Loss (mean cross-entropy), accuracy, and the most predicted class, over the labels that count.

    `top_class_share` of the predictions, and `top_class_true_share` of the labels, are that class. `ignore_label` does
    not count. With `ohem` = (thresh, min_kept), also the share of cells that online bootstrapping keeps (`kept`).
    Every device's batch is seen on its own.
    """

    def __init__(self, classes: int, ignore_label: Optional[int] = None,
                 ohem: Optional[Tuple[float, int]] = None) -> None:
        self.classes, self.ignore_label, self.ohem = classes, ignore_label, ohem
        self.reset()

    def reset(self) -> None:
        """Start a new report."""
        self.count, self.loss, self.right, self.kept = 0, 0.0, 0, 0
        self.predicted, self.true = np.zeros((2, self.classes), np.int64)

    @property
    def state(self) -> Dict[str, Any]:
        """What was counted since `reset`, as JSON takes it."""
        return {"count": self.count, "loss": self.loss, "right": self.right, "kept": self.kept,
                "predicted": self.predicted.tolist(), "true": self.true.tolist()}

    @state.setter
    def state(self, state: Dict[str, Any]) -> None:
        self.count, self.loss, self.right, self.kept = (state[name] for name in ("count", "loss", "right", "kept"))
        self.predicted, self.true = (np.array(state[name], np.int64) for name in ("predicted", "true"))

    def move_to_first(self, workers: Alone) -> None:
        """Add up what all `workers` have counted in the first one's metric, and start the others' anew."""
        if workers.count == 1:
            return
        sums = workers.total("metric", [self.count, self.loss, self.right, self.kept, *self.predicted, *self.true])
        self.reset()
        if workers.rank == 0:
            self.count, self.loss, self.right, self.kept = int(sums[0]), float(sums[1]), int(sums[2]), int(sums[3])
            self.predicted, self.true = sums[4:].astype(np.int64).reshape(2, -1)

    def update(self, label: np.ndarray, prob: np.ndarray) -> None:
        """Count the labels (N, …) and probabilities (N, C, …) of one device's batch."""
        label, pred = label.reshape(-1).astype(np.int64), prob.reshape(*prob.shape[:2], -1)
        best = pred.argmax(axis=1).reshape(-1)
        counts = np.ones(len(label), bool) if self.ignore_label is None else label != self.ignore_label
        image, cell = np.divmod(np.flatnonzero(counts), pred.shape[2])
        true_prob = pred[image, label[counts], cell]
        self.count += int(counts.sum())
        self.loss -= float(np.log(np.maximum(true_prob, 1e-30), dtype=np.float64).sum())
        self.right += int((best[counts] == label[counts]).sum())
        self.predicted += np.bincount(best[counts], minlength=self.classes)
        self.true += np.bincount(label[counts], minlength=self.classes)
        if self.ohem:
            self.kept += hard_cells(true_prob, *self.ohem)

    def report(self) -> Dict[str, Any]:
        """{name: value} of the batches since `reset`; None where no label counted."""
        top = int(self.predicted.argmax())
        values = {"loss": self.loss, "accuracy": self.right}
        if self.ignore_label is not None:
            values["kept"] = self.kept if self.ohem else self.count
        values.update(top_class_share=int(self.predicted[top]), top_class_true_share=int(self.true[top]))
        return {"top_class": top, **{name: value / self.count if self.count else None
                                     for name, value in values.items()}}


def hard_cells(true_prob: np.ndarray, thresh: float, min_kept: int) -> int:
    """How many of the true classes' probabilities (1-D) online bootstrapping keeps (see `losses.ohem_softmax`)."""
    if len(true_prob) <= min_kept:
        return len(true_prob)
    kth = np.partition(true_prob, min_kept - 1)[min_kept - 1] if min_kept > 0 else 0.0
    return int((true_prob <= max(thresh, kth)).sum())


class Progress:
    """Reports a run whose batches are counted by `step`, in `<path>.jsonl`, `<path>.png`, the log and a bar.

    The `metric` is read and reset at every report. `position` are the batches done before, `epochs` those to reach. The
    `loader` has `batches`, `batch_size`, `late`; each of the `workers` has one of this batch size.
    """

    def __init__(self, path: str, log: Logger, metric: TrainingMetric, position: int, epochs: int,
                 loader: "Loader", workers: int = 1) -> None:
        self._path, self._log, self._metric, self._loader = path, log, metric, loader
        self._position, self._batches, self._total = position, loader.batches, epochs * loader.batches
        self._batch_images = workers * loader.batch_size
        self._draw_time, self._patience = time.monotonic(), FIRST_SECONDS
        self._drawn: Optional[Tuple[int, List[Report]]] = None
        self._said: float
        self.restart_clock()
        self._reports = cut_reports(
            path, lambda report: (report["epoch"] - 1) * self._batches + report["batch"] <= position)
        self._bar = tqdm(total=self._total, initial=position, unit="batch", desc="training", disable=None,
                         dynamic_ncols=True)

    def step(self, lr: float) -> Optional[Report]:
        """Count a batch that was trained with learning rate `lr`; the report where one is due, else None.

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
        append_json(f"{self._path}.jsonl", report)
        loss, accuracy = _text(report["loss"]), _text(report["accuracy"])
        extra = "".join(f"  {name.replace('_', ' ')} {_text(report[name])}" for name in ("kept", "top_class_share")
                        if name in report)
        self._log.info(f"epoch {epoch} batch {batch}/{self._batches}  lr {lr:.3g}  loss {_text(report['loss'], 4)}  "
                       f"accuracy {accuracy}{extra}  {_speed_text(report)}")
        self._bar.set_postfix(loss=loss, accuracy=accuracy)
        if time.monotonic() - self._draw_time >= SECONDS_BETWEEN_CURVES:
            self._draw()
        return report

    def _speed(self) -> Report:
        """What a report says of the speed since the last one."""
        before, done, _ = self._last
        rate = (self._position - done) / max(time.monotonic() - before, 1e-9)
        return {"images_per_s": round(rate * self._batch_images, 2),
                "seconds_left": round((self._total - self._position) / rate)}


def reports_after(batch: int, batches: int) -> bool:
    """Whether there is a report after the `batch`-th of an epoch's `batches`."""
    return batch % -(-batches // REPORTS_PER_EPOCH) == 0 or batch == batches


def read_reports(path: str) -> List[Report]:
    """The reports (list of dict) in `<path>.jsonl`; none if there is no such file. A line cut short is left out."""
    reports = []
    if os.path.exists(f"{path}.jsonl"):
        with open(f"{path}.jsonl", encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):
                    reports.append(json.loads(line))
    return reports


def cut_reports(path: str, before: Callable[[Report], bool]) -> List[Report]:
    """Rewrite `<path>.jsonl` with the whole lines whose reports are from `before` a run goes on: those reports."""
    reports = list(filter(before, read_reports(path)))
    write_text(f"{path}.jsonl", "".join(json.dumps(report) + "\n" for report in reports))
    return reports


def _speed_text(report: Report) -> str:
    return f"{report['images_per_s']:.1f} images/s  remaining {clock(report['seconds_left'])}"


def _text(value: Optional[float], digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"


def plot_curves(reports: List[Report], validations: List[Report], path: str, batches: int) -> None:
    """Draw loss, accuracy, learning rate and, where there are any, validation scores over epochs, as a PNG."""
    from matplotlib.figure import Figure  # here: it takes a second to import

    measured = {"loss": "loss", "accuracy": "accuracy", "lr": "learning rate"}  # {name in a report: title}
    titles = [*measured.values(), *(["validation"] if validations else [])]
    width = 4 * len(titles)
    figure = Figure(figsize=(width, 3.2))
    figure.subplots_adjust(0.55 / width, 0.15, 1 - 0.2 / width, 0.9, wspace=0.25)  # a layout that fits doubles the time
    panels = figure.subplots(1, len(titles))
    for axes, title in zip(panels, titles):
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    epochs = [report["epoch"] - 1 + report["batch"] / batches for report in reports]
    for axes, name in zip(panels, measured):
        axes.plot(epochs, [float("nan") if report[name] is None else report[name] for report in reports], linewidth=1.2)
    if validations:
        for name in validations[0]:
            if name not in ("epoch", "seconds"):
                panels[-1].plot([row["epoch"] for row in validations], [row[name] for row in validations], marker=".",
                                linewidth=1.2, label=name.replace("_", " "))
        panels[-1].legend(fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


class Board:
    """Writes a run's event files into a `folder` of these alone; TensorBoard compares those that lie side by side.

    What is shown stands at a number of batches, of which an epoch has `batches`. `done` are those done before: what an
    earlier start wrote of later ones is not shown. ImportError, which says what to install, without tensorboardX.
    """

    def __init__(self, folder: str, batches: int, done: int = 0) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(f"--tensorboard needs tensorboardX ({error}): pip install 'ademxapp[tensorboard]' (in a "
                              "clone of the project: pip install -e '.[tensorboard]')") from None
        os.makedirs(folder, exist_ok=True)
        self._writer, self._batches = SummaryWriter(folder, purge_step=done), batches
        self._pictures: Dict[str, np.ndarray] = {}

    def report(self, report: Report) -> None:
        """Show a report of `Progress`."""
        self._show("training", report, (report["epoch"] - 1) * self._batches + report["batch"])

    def picture(self, name: str, picture: np.ndarray) -> None:
        """Keep a picture, (H, W, 3) uint8, for the validation that is under way."""
        self._pictures[name] = picture

    def validation(self, row: Report) -> None:
        """Show the scores of a validation, and its pictures."""
        step = row["epoch"] * self._batches
        for name, picture in self._pictures.items():
            self._writer.add_image(f"validation/{name}", picture, step, dataformats="HWC")
        self._show("validation", row, step)

    def _show(self, part: str, values: Dict[str, Any], step: int) -> None:
        for name, value in values.items():
            if value is not None and name not in PLACES:
                self._writer.add_scalar(f"{part}/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        """End the files."""
        self._writer.close()


class Watch:
    """Warns of labels that teach nothing, predictions that are all of one class, and a loader that starves the network.

    Each trouble is told when it has stood in some reports in a row, and told again only after it has gone.
    """

    def __init__(self, log: Logger) -> None:
        self._log, self._batches = log, 0
        self._times: Dict[str, int] = {}

    def report(self, report: Dict[str, Any]) -> None:
        """Look at a report of `Progress`; ValueError where there was nothing to learn for as many as an epoch has."""
        self._batches += report["batches"]
        share, true_share = report["top_class_share"], report["top_class_true_share"]
        self._tell("void", share is None, lambda: f"no label counts: all of the last {report['batches']} batches are "
                   f"void. {LABELS}", 1)
        if self._times["void"] == REPORTS_PER_EPOCH:
            raise ValueError(f"no label counts in {REPORTS_PER_EPOCH} reports in a row: there is nothing to learn. "
                             f"{LABELS}")
        self._tell("one class", true_share == 1, lambda: f"every label that counts is class {report['top_class']}: "
                   f"there is nothing to tell apart, and scores say nothing. {LABELS}", REPORTS_PER_EPOCH)
        collapsed = share is not None and share >= COLLAPSED and true_share <= MIXED and self._batches >= MIN_BATCHES
        self._tell("collapse", collapsed, lambda: (
            f"the predictions have collapsed: {100 * share:.0f} % are class {report['top_class']}, as are "
            f"{100 * true_share:.0f} % of the labels. A lower --base-lr, or --weights of a trained network, may help; "
            "tools/report.py data shows whether the labels are right"))
        self._tell("late", report["late"] > LATE, lambda: (
            f"reading is slower than the network: {100 * report['late']:.0f} % of the batches were late. More "
            "--prefetch-threads, --prefetcher process, smaller images or RecordIO (tools/pack.py) may help"))

    def _tell(self, trouble: str, present: bool, text: Callable[[], str], in_a_row: int = IN_A_ROW) -> None:
        self._times[trouble] = self._times.get(trouble, 0) + 1 if present else 0
        if self._times[trouble] == in_a_row:
            self._log.warning("warning: %s", text())
