"""The training loop: an engine's `Module.fit` with reports, checkpoints, validation and snapshots."""
import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.stopping import SIGNALS, Stopped, StopRequests
from ademxapp.training.curves import Board
from ademxapp.training.distributed import Alone, Watchdog
from ademxapp.training.metrics import TrainingMetric
from ademxapp.training.progress import NoProgress, Progress, reports_after
from ademxapp.training.schedules import ADAM
from ademxapp.training.snapshots import Background, Snapshot, save_snapshot
from ademxapp.training.validations import Validations
from ademxapp.training.watch import Watch, require_finite_loss, require_finite_parameters
from ademxapp.weights.parameters import Parameters, save_checkpoint

if TYPE_CHECKING:
    import logging

    from ademxapp.data.loader import Loader
    from ademxapp.engine import Device, Engine, Module, Symbol


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Attributes
    ----------
    label, output : str
        Name of the run, and the folder of its files.
    from_epoch, stop_epoch : int
        Epochs done before, and epoch to stop behind.
    check_start, check_step : int
        First epoch whose checkpoint is kept, and every how many. The last is always kept.
    optimizer, optimizer_params : str, dict
        As `ademxapp.engine.Module` takes them.
    fixed_statistics : bool
        BN's moving statistics are not trained.
    dtype, compiled : str, bool
        As `ademxapp.engine.Module` takes them.
    val_every : int
        Epochs from one validation to the next; the last epoch always has one. 0: none.
    snapshot_seconds, keep : float, int
        Time from one snapshot to the next inside an epoch (every epoch ends with one), and how many stay.
    stall_minutes : float
        Time without the end of a batch after which the process ends itself. 0: it does not.
    state : dict
        What the snapshots say of the run besides where it is: arguments, versions.
    about : dict
        What testing needs to know of the weights: see `ademxapp.weights.description`. Nothing is written if empty.
    """

    label: str
    output: str
    from_epoch: int
    stop_epoch: int
    optimizer: str
    optimizer_params: Dict[str, Any]
    seed: int = 0
    check_start: int = 1
    check_step: int = 1
    kvstore: str = "device"
    fixed_statistics: bool = False
    dtype: str = "float32"
    compiled: bool = False
    val_every: int = 0
    snapshot_seconds: float = float("inf")
    keep: int = 1
    stall_minutes: float = 0
    state: Dict[str, Any] = field(default_factory=dict)
    about: Dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """What the run's files start with."""
        return os.path.join(self.output, self.label)

    def keeps(self, epoch: int) -> bool:
        """Whether the checkpoint after `epoch` epochs is kept."""
        due = epoch >= self.check_start and (epoch - self.check_start) % self.check_step == 0
        return due or epoch == self.stop_epoch

    def validates(self, epoch: int) -> bool:
        """Whether there is a validation after `epoch` epochs."""
        return bool(self.val_every and epoch and (epoch % self.val_every == 0 or epoch == self.stop_epoch))


def fit(plan: Plan, engine: "Engine", symbol: "Symbol", loader: "Loader", parameters: Parameters,
        metric: TrainingMetric, devices: "Sequence[Device]", log: "logging.Logger", snapshot: Optional[Snapshot] = None,
        validate: Optional[Callable[[Parameters], Dict[str, float]]] = None,
        workers: Optional[Alone] = None, board: Optional[Board] = None) -> Parameters:
    """Train `symbol` from `parameters` on an engine's devices.

    Parameters
    ----------
    loader : Loader
        Gives the batches; has `batches`, `start(epoch, batch)`.
    snapshot : Snapshot, optional
        What the run goes on from, in the epoch of the plan.
    validate : callable, optional
        From `Parameters` to scores, {name: number}. The first decides which checkpoint is the best: the larger the
        better.
    workers : Workers, optional
        All that train together, each with a loader of its own part. Worker 0 writes.
    board : Board, optional
        Shows the reports and the scores.

    Returns
    -------
    Parameters
        After the last epoch.

    Raises
    ------
    ValueError
        If the loss or a parameter is not finite.
    Stopped
        At one of `stopping.SIGNALS`, when a snapshot is written.
    """
    workers = workers or Alone()
    module = engine.Module(symbol, devices, not plan.fixed_statistics, _quiet(log), workers, plan.dtype,
                           plan.compiled)
    with StopRequests() as stop, Watchdog(plan.stall_minutes, "the next batch") as watchdog, \
            Background(log) as background:
        validations = Validations(plan, validate, stop, log, board)
        run = _Run(plan, engine, symbol, module, loader, metric, log, stop, snapshot, validations, workers, watchdog,
                   background)
        run.watches += [board] if board else []
        if workers.rank == 0:
            validations.resume(plan.from_epoch, parameters, inside=run.first_batch > 0)
        try:
            if plan.from_epoch < plan.stop_epoch:
                module.fit(loader, metric, parameters, plan.optimizer, run.optimizer_params(), plan.kvstore,
                           plan.from_epoch, plan.stop_epoch, run.after_batch, run.after_epoch)
        finally:
            loader.close()
            run.progress.close()
    return module.get_params()


class _Run:
    """What happens between the batches and the epochs of a run."""

    def __init__(self, plan: Plan, engine: "Engine", symbol: "Symbol", module: "Module", loader: "Loader",
                 metric: TrainingMetric, log: "logging.Logger", stop: StopRequests, snapshot: Optional[Snapshot],
                 validations: Validations, workers: Alone, watchdog: Watchdog, background: Background) -> None:
        self.plan, self._engine, self._symbol, self._module, self._loader = plan, engine, symbol, module, loader
        self._metric, self._log, self._stop, self._validations = metric, log, stop, validations
        self._workers, self._watchdog, self._background = workers, watchdog, background
        self.first_batch = snapshot.state["batch"] if snapshot else 0  # of the first epoch
        if snapshot:
            module.restored_states, module.restored_statistics = snapshot.optimizer_states, snapshot.device_statistics
        loader.start(plan.from_epoch, self.first_batch)
        self.done = plan.from_epoch * loader.batches + self.first_batch
        self._states_from = snapshot.state.get("states_from", 0) if snapshot else self.done
        self.progress: Union[Progress, NoProgress] = NoProgress()
        if workers.rank == 0:
            self.progress = Progress(plan.path, log, metric, self.done, plan.stop_epoch, loader, workers.count)
            if snapshot and snapshot.state.get("metric"):
                metric.state = snapshot.state["metric"]
        self.watches: List[Union[Watch, Board]] = [Watch(log)]
        self._snapshot_time = time.monotonic()
        self._seed_batch(plan.from_epoch, self.first_batch)

    def after_batch(self, epoch: int, number: int, index: Optional[np.ndarray]) -> None:
        """As `Module.fit` calls it."""
        batch = number + 1 + (self.first_batch if epoch == self.plan.from_epoch else 0)
        where = f"at epoch {epoch + 1}, batch {batch}"
        require_finite_loss(self._metric.loss, where, self._images(index))
        self._background.check()
        self._watchdog.beat()
        self._seed_batch(epoch, batch)
        if reports_after(batch, self._loader.batches):
            self._collect_metric()
            if batch < self._loader.batches:  # oneDNN's ReLU makes 0 of what is no number: the loss stays finite
                require_finite_parameters(self._module.get_params(), where)
        report = self.progress.step(self._module.learning_rate)
        if report:
            for watch in self.watches:
                watch.report(report)
        if batch == self._loader.batches:  # after_epoch has the rest
            return
        due, stopped = self._wishes()
        if due or stopped:
            parameters = self._module.get_params()
            require_finite_parameters(parameters, where)
            self._save(parameters, epoch, batch)
        self._end_if(stopped, where.replace("at", "after", 1))

    def optimizer_params(self) -> Dict[str, Any]:
        """The plan's, and where the run begins; Adam corrects its means by the updates since its states were zero."""
        began = {"states_from": self._states_from} if self.plan.optimizer == ADAM else {}
        return {**self.plan.optimizer_params, "begin_num_update": self.done, **began}

    def after_epoch(self, epoch: int, result: Parameters) -> None:
        """As `Module.fit` calls it."""
        self._watchdog.beat()
        self._seed_batch(epoch + 1, 0)
        require_finite_parameters(result, f"after epoch {epoch + 1}")
        self._save(result, epoch + 1, 0)
        self._validations.after_epoch(epoch + 1, result)
        self._watchdog.beat()
        self._end_if(self._wishes()[1], f"after epoch {epoch + 1}")
        self.progress.restart_clock()

    def _save(self, parameters: Parameters, epoch: int, batch: int) -> None:
        """Have a snapshot written and, at the end of an epoch whose checkpoint is kept, the checkpoint."""
        statistics = self._module.device_statistics() if batch else {}
        self._collect_metric()
        if self._workers.rank > 0:
            return
        state = {"epoch": epoch, "batch": batch, "seed": self.plan.seed, "metric": self._metric.state,
                 "states_from": self._states_from, **self.plan.state}
        snapshot = Snapshot(parameters, self._module.optimizer_states(), state, statistics)
        self._background.start(self._write, snapshot, batch == 0 and self.plan.keeps(epoch))
        self._snapshot_time = time.monotonic()

    def _write(self, snapshot: Snapshot, checkpoint: bool) -> None:
        if checkpoint:
            path = save_checkpoint(self.plan.output, self.plan.label, snapshot.state["epoch"], self._symbol,
                                   snapshot.parameters, self.plan.about)
            self._log.info("wrote %s", path)
        save_snapshot(f"{self.plan.path}_snapshot", snapshot, self.plan.keep)

    def _wishes(self) -> Tuple[bool, Optional[int]]:
        """Whether a snapshot is due, and the signal that asked a worker to stop: the same answer in all workers."""
        due = self._workers.rank == 0 and time.monotonic() - self._snapshot_time >= self.plan.snapshot_seconds
        wishes = self._workers.total("wishes", [due, *(self._stop.number == number for number in SIGNALS)])
        return wishes[0] > 0, next((number for number, asked in zip(SIGNALS, wishes[1:]) if asked), None)

    def _end_if(self, stopped: Optional[int], where: str) -> None:
        if stopped:
            self._background.wait()
            self._workers.total("end", [0])  # until the snapshot is written: who ends first may take the others along
            raise Stopped(stopped, f" {where}; --resume goes on from there")

    def _collect_metric(self) -> None:
        """Move what all workers have counted to worker 0."""
        if self._workers.count > 1:
            self._metric.move_to_first(self._workers)

    def _seed_batch(self, epoch: int, batch: int) -> None:
        """Make the engine's random numbers (dropout) a function of the batch, so that a run can go on from anywhere."""
        self._engine.seed(batch_seed(self.plan.seed, epoch, batch, self._workers.rank))

    def _images(self, index: Optional[np.ndarray]) -> str:
        if index is None:
            return "its images are not known"
        return f"images {', '.join(self._loader.dataset.describe(int(one)) for one in index[:2])}, …"


def batch_seed(seed: int, epoch: int, batch: int, rank: int) -> int:
    """A number below 2^31 that the random numbers of a worker's batch start from.

    Seeds of batches that follow each other must lie far apart: MXNet's generators 0 to 1,023 start from 127 times the
    seed plus their number, so that seeds that differ by less than nine share generators, one mask a shifted copy of the
    other.
    """
    digest = hashlib.blake2b(f"{seed} {epoch} {batch} {rank}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def _quiet(log: "logging.Logger") -> "logging.Logger":
    """A logger for the engine's own lines of progress, which `Progress` makes superfluous: warnings only."""
    quiet = log.getChild("engine")
    quiet.setLevel("WARNING")
    return quiet
