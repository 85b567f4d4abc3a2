"""The training loop: an engine's `Module.fit` with reports, checkpoints, validation and snapshots."""
import hashlib
import math
import os
import time
from dataclasses import dataclass, field
from logging import Logger
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.errors import SIGNALS, Stopped, StopRequests, answered_by, stop_at_once
from ademxapp.files import append_json
from ademxapp.training.progress import Board, Progress, TrainingMetric, Watch, clock, cut_reports, reports_after
from ademxapp.training.shared import ADAM, Alone, Watchdog
from ademxapp.training.snapshots import Background, Snapshot, save_snapshot
from ademxapp.weights.description import write_description
from ademxapp.weights.parameters import Parameters, save_checkpoint, save_parameters

if TYPE_CHECKING:
    from ademxapp.data.loader import Loader
    from ademxapp.engine import Device, Engine, Module, Symbol
    from ademxapp.settings import DriverSettings

Validate = Callable[[Parameters], Dict[str, float]]
DIVERGED = ("the training has diverged. A lower --base-lr may help, from the start with --overwrite, or from a "
            "checkpoint, as --weights, with another tag in --model; --resume takes the same --base-lr only")


@dataclass(frozen=True)
class Plan:
    """How a run goes: as its settings say, and what follows from them for its task and images."""

    settings: "DriverSettings"
    optimizer: str  # this and its parameters as `ademxapp.engine.training.Module` takes them
    optimizer_params: Dict[str, Any]
    fixed_statistics: bool = False  # BN's moving statistics are not trained
    state: Dict[str, Any] = field(default_factory=dict)  # what snapshots say besides where the run is
    about: Dict[str, Any] = field(default_factory=dict)  # values of a `Description` of the weights. None: not written

    @property
    def path(self) -> str:
        """What the run's files start with."""
        return os.path.join(self.settings.output, self.settings.model)

    def keeps(self, epoch: int) -> bool:
        """Whether the checkpoint after `epoch` epochs is kept."""
        first, step = self.settings.check_start, self.settings.check_step
        return epoch >= first and (epoch - first) % step == 0 or epoch == self.settings.stop_epoch


def fit(plan: Plan, engine: "Engine", symbol: "Symbol", loader: "Loader", parameters: Parameters,
        metric: TrainingMetric, devices: "Sequence[Device]", log: Logger, snapshot: Optional[Snapshot] = None,
        validate: Optional[Validate] = None, workers: Optional[Alone] = None, board: Optional[Board] = None
        ) -> Parameters:
    """Train `symbol` from `parameters` on an engine's devices: the `Parameters` after the last epoch.

    The run goes on from a `snapshot`, in the epoch of the plan. `validate` gives scores, {name: number}: the first
    decides which checkpoint is the best, the larger the better. `workers` are all that train together, each with a
    loader of its own part; worker 0 writes. `board` shows the reports and the scores.

    Raises ValueError if the loss or a parameter is not finite; Stopped at one of `errors.SIGNALS`, when a snapshot is
    written.
    """
    workers, settings, stop = workers or Alone(), plan.settings, StopRequests()
    module = engine.Module(symbol, devices, not plan.fixed_statistics, workers, settings.dtype or "float32",
                           settings.compile)
    with answered_by(stop.note), Watchdog(settings.stall_minutes or 0, "the next batch") as watchdog, \
            Background(log) as background:
        run = _Run(plan, engine, symbol, module, loader, metric, log, snapshot, validate, workers, board, stop,
                   watchdog, background)
        if workers.rank == 0:
            run.resume_validations(parameters)
        try:
            module.fit(loader, metric, parameters, plan.optimizer, run.optimizer_params, settings.kvstore,
                       settings.from_epoch, settings.stop_epoch, run.after_batch, run.after_epoch)
        finally:
            loader.close()
            if run.progress:
                run.progress.close()
    return run.result


class _Run:
    """What happens between the batches and the epochs of a run."""

    def __init__(self, plan: Plan, engine: "Engine", symbol: "Symbol", module: "Module", loader: "Loader",
                 metric: TrainingMetric, log: Logger, snapshot: Optional[Snapshot], validate: Optional[Validate],
                 workers: Alone, board: Optional[Board], stop: StopRequests, watchdog: Watchdog, background: Background
                 ) -> None:
        self._plan, self._engine, self._symbol, self._module, self._loader = plan, engine, symbol, module, loader
        self._settings, from_epoch = plan.settings, plan.settings.from_epoch
        self._metric, self._log, self._validate, self._workers, self._board = metric, log, validate, workers, board
        self._stop, self._watchdog, self._background = stop, watchdog, background
        state = snapshot.state if snapshot else {}
        self._first_batch = state.get("batch", 0)  # of the first epoch
        if snapshot:
            module.restored_states, module.restored_statistics = snapshot.optimizer_states, snapshot.device_statistics
        loader.start(from_epoch, self._first_batch)
        done = from_epoch * loader.batches + self._first_batch
        self._states_from = state.get("states_from", 0 if snapshot else done)
        self.optimizer_params = {**plan.optimizer_params, "begin_num_update": done}
        if plan.optimizer == ADAM:  # which corrects its means by the updates since its states were zero
            self.optimizer_params["states_from"] = self._states_from
        self.result: Parameters  # after the last epoch
        self.progress: Optional[Progress] = None  # of a worker that writes
        if workers.rank == 0:
            self.progress = Progress(plan.path, log, metric, done, self._settings.stop_epoch, loader, workers.count)
            if state.get("metric"):
                metric.state = state["metric"]
        self._validations: List[Dict[str, Any]] = []  # lines of `<label>_val.jsonl`
        self._watches: List[Union[Watch, Board]] = [Watch(log), *([board] if board else [])]
        self._snapshot_time = time.monotonic()
        self._seed_batch(from_epoch, self._first_batch)

    def after_batch(self, epoch: int, number: int, index: Optional[np.ndarray]) -> None:
        """As `Module.fit` calls it."""
        batch = number + 1 + (self._first_batch if epoch == self._settings.from_epoch else 0)
        where = f"at epoch {epoch + 1}, batch {batch}"
        if not math.isfinite(self._metric.loss):
            images = "its images are not known" if index is None else (
                f"images {', '.join(self._loader.dataset.describe(int(one)) for one in index[:2])}, …")
            raise ValueError(f"the loss is {self._metric.loss} {where} ({images}): {DIVERGED}")
        self._background.check()
        self._watchdog.beat()
        self._seed_batch(epoch, batch)
        if reports_after(batch, self._loader.batches):
            self._metric.move_to_first(self._workers)
            if batch < self._loader.batches:  # oneDNN's ReLU makes 0 of what is no number: the loss stays finite
                _require_finite(self._module.get_params(), where)
        report = self.progress.step(self._module.learning_rate) if self.progress else None
        if report:
            for watch in self._watches:
                watch.report(report)
        if batch == self._loader.batches:  # after_epoch has the rest
            return
        due, stopped = self._wishes()
        if due or stopped:
            parameters = self._module.get_params()
            _require_finite(parameters, where)
            self._save(parameters, epoch, batch)
        self._end_if(stopped, where.replace("at", "after", 1))

    def after_epoch(self, epoch: int, result: Parameters) -> None:
        """As `Module.fit` calls it."""
        self._watchdog.beat()
        self.result = result
        self._seed_batch(epoch + 1, 0)
        _require_finite(result, f"after epoch {epoch + 1}")
        self._save(result, epoch + 1, 0)
        self._validate_after(epoch + 1, result)
        self._watchdog.beat()
        self._end_if(self._wishes()[1], f"after epoch {epoch + 1}")
        if self.progress:
            self.progress.restart_clock()

    def _seed_batch(self, epoch: int, batch: int) -> None:
        """Make the engine's random numbers (dropout) a function of the batch, so that a run can go on from anywhere."""
        self._engine.seed(batch_seed(self._settings.seed, epoch, batch, self._workers.rank))

    def _save(self, parameters: Parameters, epoch: int, batch: int) -> None:
        """Have a snapshot written and, at the end of an epoch whose checkpoint is kept, the checkpoint."""
        statistics = self._module.device_statistics() if batch else {}
        self._metric.move_to_first(self._workers)
        if self._workers.rank > 0:
            return
        state = {"epoch": epoch, "batch": batch, "seed": self._settings.seed, "metric": self._metric.state,
                 "states_from": self._states_from, **self._plan.state}
        snapshot = Snapshot(parameters, self._module.optimizer_states(), state, statistics)
        self._background.start(self._write, snapshot, batch == 0 and self._plan.keeps(epoch))
        self._snapshot_time = time.monotonic()

    def _write(self, snapshot: Snapshot, checkpoint: bool) -> None:
        if checkpoint:
            path = save_checkpoint(self._settings.output, self._settings.model, snapshot.state["epoch"], self._symbol,
                                   snapshot.parameters, self._plan.about)
            self._log.info("wrote %s", path)
        save_snapshot(f"{self._plan.path}_snapshot", snapshot, self._settings.keep)

    def _wishes(self) -> Tuple[bool, Optional[int]]:
        """Whether a snapshot is due, and the signal that asked a worker to stop: the same answer in all workers."""
        due = self._workers.rank == 0 and time.monotonic() - self._snapshot_time >= 60 * self._settings.snapshot_minutes
        wishes = self._workers.total("wishes", [due, *(self._stop.number == number for number in SIGNALS)])
        return wishes[0] > 0, next((number for number, asked in zip(SIGNALS, wishes[1:]) if asked), None)

    def _end_if(self, stopped: Optional[int], where: str) -> None:
        if stopped:
            self._background.wait()
            self._workers.total("end", [0])  # until the snapshot is written: who ends first may take the others along
            raise Stopped(stopped, f" {where}; --resume goes on from there")

    def resume_validations(self, parameters: Parameters) -> None:
        """Forget those of later epochs; make up for that of the last one, unless the run goes on inside the next."""
        epoch, path = self._settings.from_epoch, f"{self._plan.path}_val"
        if os.path.exists(f"{path}.jsonl"):
            self._validations = cut_reports(path, lambda row: row["epoch"] <= epoch)
        if not self._first_batch and not any(row["epoch"] == epoch for row in self._validations):
            self._validate_after(epoch, parameters)

    def _validate_after(self, epoch: int, parameters: Parameters) -> None:
        """Validate if it is time: a line for `<label>_val.jsonl`, and perhaps the best checkpoint."""
        best_path, every = f"{self._plan.path}_best.params", self._settings.val_every
        if not (self._validate and every and epoch and (epoch % every == 0 or epoch == self._settings.stop_epoch)):
            return
        start = time.monotonic()
        with answered_by(stop_at_once):  # nothing would be lost
            scores = self._validate(parameters)
        name, score = next(iter(scores.items()))
        before = [row[name] for row in self._validations]
        row = {"epoch": epoch, **scores, "seconds": round(time.monotonic() - start, 1)}
        best = not before or score > max(before)
        if best:
            save_parameters(best_path, parameters)
            write_description(best_path, {**row, **self._plan.about})
        self._validations.append(row)
        append_json(f"{self._plan.path}_val.jsonl", row)
        if self._board:
            self._board.validation(row)
        self._log.info("validation after epoch %d: %s, in %s; %s", epoch, ", ".join(
            f"{key} {value:.2f}" for key, value in scores.items()), clock(row["seconds"]),
            f"the best, kept as {os.path.basename(best_path)}" if best else f"the best was {max(before):.2f}")


def _require_finite(parameters: Parameters, where: str) -> None:
    """ValueError that names a parameter unless all of them are finite."""
    for name, value in parameters.all.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} is not finite {where}: {DIVERGED}")


def batch_seed(seed: int, epoch: int, batch: int, rank: int) -> int:
    """A number below 2^31 that the random numbers of a worker's batch start from.

    Those of neighbours must lie far apart: MXNet's generators 0 to 1,023 start from 127 times the seed plus their
    number, so that seeds that differ by less than nine share generators, one mask a shifted copy of the other.
    """
    digest = hashlib.blake2b(f"{seed} {epoch} {batch} {rank}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1
