"""From settings to a training."""
import contextlib
import json
import os
from dataclasses import dataclass, replace
from logging import Logger
from typing import Any, Callable, ContextManager, Dict, Optional, Sequence, Tuple

from ademxapp.data.loader import Loader
from ademxapp.driver.environment import Stopwatch, devices, stall_minutes, versions
from ademxapp.driver.identity import Identity
from ademxapp.engine import ENGINES, Device, Symbol, load
from ademxapp.errors import UsageError
from ademxapp.settings import DriverSettings
from ademxapp.symbol import label_stem
from ademxapp.symbol.heads import TOP
from ademxapp.training.curves import Board
from ademxapp.training.distributed import Alone
from ademxapp.training.fit import Plan, fit
from ademxapp.training.metrics import TrainingMetric
from ademxapp.training.progress import clock
from ademxapp.training.schedules import NESTEROV, OPTIMIZERS, SGD, make_schedule
from ademxapp.training.snapshots import Snapshot, load_snapshot, only_run, remove_run, remove_unfinished, weights_of_run
from ademxapp.weights.description import Description
from ademxapp.weights.parameters import (
    Parameters,
    Shapes,
    load_parameters,
    parameter_shapes,
    require_exact,
    start_afresh,
    start_from,
)

Validate = Callable[[Parameters], Dict[str, float]]


@dataclass(frozen=True)
class Recipe:
    """What a task's training has of its own (paper sections 4 and 5). `stop_lr` is a function of the base rate."""

    optimizer: str
    rescale_by_device: bool
    fixed_statistics: bool
    stop_lr: Callable[[float], float]


CLASSIFICATION = Recipe(NESTEROV, False, False, lambda base_lr: 1e-6)
SEGMENTATION = Recipe(SGD, True, True, lambda base_lr: min(base_lr / 100, 1e-6))


def train(settings: DriverSettings, run: Identity, workers: Alone, symbol: Symbol, dataset: Any,
          metric: TrainingMetric, recipe: Recipe, log: Logger, description: Description,
          validation: Callable[[Sequence[Device], Optional[Board]], Validate]) -> Parameters:
    """Train a task's network from afresh, from weights or from a snapshot, as the settings say; `workers`: as `join`.

    `description`, what is known of the weights, is written beside them, with the arguments and versions.
    `validation(contexts, board)` gives what `fit` takes as `validate`; it is asked for where `--val-every` is given.
    """
    contexts = devices(settings, log)
    shards, path = len(contexts) * workers.count, os.path.join(settings.output, settings.model)
    if settings.batch_images % shards:
        raise UsageError(f"--batch-images {settings.batch_images} cannot be divided among {shards} devices")
    shapes = parameter_shapes(symbol, data=(settings.batch_images // shards,) + tuple(dataset.data_shape))
    with only_run(f"{path}_snapshot") if workers.rank == 0 else contextlib.nullcontext(), workers:
        snapshot = going_on(settings, run, path, shapes, len(dataset), log) if settings.resume else None
        if snapshot:
            parameters, settings = snapshot.parameters, replace(settings, from_epoch=snapshot.state["epoch"])
        else:
            require_free_place(settings, path)
            parameters = starting_parameters(settings, shapes, log)
        plan, loader = training_plan(settings, run, workers, shards, dataset, recipe, description)
        require_same_start(workers, run, len(contexts), parameters, snapshot)
        log.info("%d images, %d batches an epoch, epochs %d to %d of %d", len(dataset), loader.batches,
                 settings.from_epoch + 1, settings.stop_epoch, settings.to_epoch)
        if workers.count > 1:
            log.info("worker %d of %d, counted from 0: %d images of every batch", workers.rank, workers.count,
                     loader.batch_size)
        watch = Stopwatch()
        with open_board(settings, workers, loader, snapshot) as board:
            validate = validation(contexts, board) if settings.val_every and workers.rank == 0 else None
            if workers.rank == 0:
                (remove_unfinished if snapshot else remove_run)(path)
            parameters = fit(plan, load(settings.engine), symbol, loader, parameters, metric, contexts, log, snapshot,
                             validate, workers, board)
    log.info("trained in %s, %s of it on the processors", clock(watch.seconds), clock(watch.cpu_seconds))
    return parameters


def open_board(settings: DriverSettings, workers: Alone, loader: Loader, snapshot: Optional[Snapshot]
               ) -> ContextManager[Optional[Board]]:
    """What --tensorboard shows, in the worker that writes; nothing without it."""
    if not settings.tensorboard or workers.rank:
        return contextlib.nullcontext()
    done = settings.from_epoch * loader.batches + (snapshot.state["batch"] if snapshot else 0)
    return Board(os.path.join(settings.tensorboard, settings.model), loader.batches, done)


def require_same_start(workers: Alone, run: Identity, devices: int, parameters: Parameters,
                       snapshot: Optional[Snapshot]) -> None:
    """ValueError unless all workers train the same thing from the same point."""
    place = snapshot and [snapshot.state["epoch"], snapshot.state["batch"]]
    workers.require_same({
        "arguments": [json.dumps(run.settings.identity(run.decides), sort_keys=True).encode()],
        "samples": [json.dumps(run.contents, sort_keys=True).encode()],
        "number of devices": [str(devices).encode()],
        "snapshot": [json.dumps(place).encode()],
        "parameters": (parameters.all[name].tobytes() for name in sorted(parameters.all))})


def training_plan(settings: DriverSettings, run: Identity, workers: Alone, shards: int, dataset: Any, recipe: Recipe,
                  description: Description) -> Tuple[Plan, Loader]:
    """The `Plan` of a training whose batches are divided into `shards`, and the `Loader` of this worker's part."""
    loader = Loader(dataset, settings.batch_images // workers.count, shuffle=True, drop_last=True, seed=settings.seed,
                    workers=settings.prefetch_threads, kind=settings.prefetcher, part=workers.rank, parts=workers.count)
    schedule = make_schedule(settings.lr_type, settings.base_lr, settings.to_epoch, loader.batches,
                             recipe.stop_lr(settings.base_lr), settings.lr_steps or (),
                             settings.lr_warmup or 0)
    return Plan(
        label=settings.model, output=settings.output, from_epoch=settings.from_epoch, stop_epoch=settings.stop_epoch,
        optimizer=OPTIMIZERS[settings.optimizer] if settings.optimizer else recipe.optimizer,
        optimizer_params={"learning_rate": settings.base_lr, "lr_scheduler": schedule, "momentum": 0.9,
                          "wd": settings.weight_decay,
                          "rescale_grad": 1 / (shards if recipe.rescale_by_device else settings.batch_images)},
        seed=settings.seed, check_start=settings.check_start, check_step=settings.check_step, kvstore=settings.kvstore,
        fixed_statistics=recipe.fixed_statistics, dtype=settings.dtype or "float32", compiled=settings.compile,
        val_every=settings.val_every or 0,
        snapshot_seconds=60 * settings.snapshot_minutes, keep=settings.keep,
        stall_minutes=stall_minutes(settings),
        state={"images": len(dataset), **run.record(), "versions": versions()},
        about=replace(description, recipe=settings.arguments(), versions=versions()).values()), loader


def require_free_place(settings: DriverSettings, path: str) -> None:
    """UsageError where a run is that a new one would replace, unless it may be overwritten."""
    there = weights_of_run(path)
    if settings.overwrite and settings.weights in there:
        raise UsageError(f"--overwrite would remove {settings.weights}, which this run is to start from: give it "
                         "another --output, or another tag in --model")
    if there and not settings.overwrite:
        snapshots = f"{path}_snapshot" in there and not settings.resume
        way = "--resume goes on with it" if snapshots else "there is no snapshot to go on from"
        raise UsageError(f"there is a run {path} already ({there[-1]}): {way}, --overwrite removes it and starts "
                         "afresh; another --output, or another tag in --model, leaves it alone")


def going_on(settings: DriverSettings, run: Identity, path: str, shapes: Shapes, images: int, log: Logger
             ) -> Optional[Snapshot]:
    """The snapshot that a run goes on from; None where there is none. An error if it is not of the same training."""
    snapshot = load_snapshot(f"{path}_snapshot")
    if snapshot is None:
        return None
    state = snapshot.state
    if state.get("images", images) != images:
        raise ValueError(f"the snapshot is of a run with {state['images']} images, the list has {images}: bring the "
                         "old list back, or start anew with --overwrite")
    require_same_run(settings, run, state)
    require_exact(snapshot.parameters, shapes, "the snapshot")
    if state["epoch"] >= settings.stop_epoch:
        raise UsageError(f"nothing to do: the snapshot is of epoch {state['epoch']}, the end is {settings.stop_epoch}; "
                         "a later --stop-epoch, up to --to-epoch, goes on")
    log.info("going on from the snapshot after epoch %d, batch %d", state["epoch"], state["batch"])
    now, before = load(settings.engine).versions(), state.get("versions", {})
    if not now.keys() & before.keys():
        log.info("it is another engine's (%s); this one is %s", ", ".join(
            f"{name} {before[name]}" for name in ENGINES if name in before), " ".join(*now.items()))
    return snapshot


def starting_parameters(settings: DriverSettings, shapes: Shapes, log: Logger) -> Parameters:
    """What a new run starts from."""
    if not settings.weights:
        log.info("no --weights: training from scratch, seed %d", settings.seed)
        return start_afresh(shapes, settings.seed)
    parameters = load_parameters(settings.weights)
    if label_stem(settings.weights) == settings.model:
        require_exact(parameters, shapes, settings.weights)
        log.info("going on from %s, epoch %d, without momentum", settings.weights, settings.from_epoch)
        return parameters
    parameters, transfer = start_from(parameters, shapes, TOP, settings.seed, settings.weights)
    log.info("from %s: %s", settings.weights, transfer)
    return parameters


def require_same_run(settings: DriverSettings, run: Identity, state: Dict[str, Any]) -> None:
    """UsageError if a snapshot is of another training."""
    before, now = state["arguments"], settings.arguments()
    changed = [f"{name} was {before.get(name)}, now {now[name]}" if before.get(name) != now[name] else
               f"{name} has other contents" for name in run.differences(state) if name in now]
    if changed:
        raise UsageError(f"--resume goes on with the snapshot's arguments, but {'; '.join(changed)}")
    if run.differences(state):
        raise ValueError(f"the snapshot is of a run on other images or labels ({', '.join(run.differences(state))}): "
                         "bring the old list back, or start anew with --overwrite")
