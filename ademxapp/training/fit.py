"""The training loop: MXNet's `Module.fit` with reports, checkpoints and snapshots."""
import os
from dataclasses import dataclass, field
from typing import Optional

from ademxapp.backend import mx
from ademxapp.training import optimizers  # noqa: F401 (MXNet finds them by name once they are imported)
from ademxapp.training.module import Module
from ademxapp.training.parameters import Parameters, save_checkpoint
from ademxapp.training.progress import Progress
from ademxapp.training.snapshots import Snapshot, save_snapshot


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
        As MXNet's Module takes them.
    fixed_statistics : bool
        BN's moving statistics are not trained.
    state : dict
        What the snapshots say of the run besides epoch, batch and seed: arguments, versions.
    """

    label: str
    output: str
    from_epoch: int
    stop_epoch: int
    optimizer: str
    optimizer_params: dict
    seed: int = 0
    check_start: int = 1
    check_step: int = 1
    kvstore: str = "device"
    fixed_statistics: bool = False
    state: dict = field(default_factory=dict)

    @property
    def path(self):
        """What the run's files start with."""
        return os.path.join(self.output, self.label)

    def keeps(self, epoch):
        """Whether the checkpoint after `epoch` epochs is kept."""
        due = epoch >= self.check_start and (epoch - self.check_start) % self.check_step == 0
        return due or epoch == self.stop_epoch


def fit(plan, symbol, loader, parameters, metric, contexts, log, optimizer_states: Optional[dict] = None):
    """Train `symbol` from `parameters`.

    Parameters
    ----------
    loader : Loader
        Gives the batches; has `batches`, `start(epoch)`.
    optimizer_states : dict, optional
        Of the snapshot that the run goes on from.

    Returns
    -------
    Parameters
        After the last epoch.
    """
    module = Module(symbol, contexts, not plan.fixed_statistics, _quiet(log))
    module.restored_states = optimizer_states
    loader.start(plan.from_epoch)
    done = plan.from_epoch * loader.batches
    progress = Progress(plan.path, log, metric, done, plan.stop_epoch, loader.batches, loader.batch_size)
    _seed_batch(plan.seed, plan.from_epoch, 0)

    def after_batch(state):
        _seed_batch(plan.seed, state.epoch, state.nbatch + 1)
        progress.step(module._optimizer.learning_rate)

    def after_epoch(epoch, _, args, auxs):
        _seed_batch(plan.seed, epoch + 1, 0)
        result = Parameters(args, auxs)
        if plan.keeps(epoch + 1):
            log.info("wrote %s", save_checkpoint(plan.output, plan.label, epoch + 1, symbol, result))
        state = {"epoch": epoch + 1, "batch": 0, "seed": plan.seed, **plan.state}
        save_snapshot(f"{plan.path}_snapshot", Snapshot(result, module.optimizer_states(), state))
        progress.restart_clock()

    try:
        module.fit(loader, eval_metric=_Unreset(metric), kvstore=plan.kvstore, optimizer=plan.optimizer,
                   optimizer_params={**plan.optimizer_params, "begin_num_update": done},
                   arg_params=parameters.args, aux_params=parameters.auxs,
                   begin_epoch=plan.from_epoch, num_epoch=plan.stop_epoch,
                   batch_end_callback=after_batch, epoch_end_callback=after_epoch)
    finally:
        loader.close()
        progress.close()
    return Parameters(*module.get_params())


class _Unreset(mx.metric.CompositeEvalMetric):
    """Hands a metric to `Module.fit`, which may not reset it: `Progress` does, at its reports."""

    def __init__(self, metric):
        super().__init__([metric])

    def reset(self):
        """Nothing."""


def _quiet(log):
    """A logger for MXNet's own lines of progress, which `Progress` makes superfluous: warnings only."""
    quiet = log.getChild("mxnet")
    quiet.setLevel("WARNING")
    return quiet


def _seed_batch(seed, epoch, batch):
    """Make MXNet's random numbers (dropout) a function of the batch, so that a run can go on from anywhere."""
    mx.random.seed((seed * 1000003 + epoch) * 1000003 % (2 ** 31) + batch)
