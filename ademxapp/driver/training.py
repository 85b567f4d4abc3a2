"""From settings to a training."""
import contextlib
import json
import os
from dataclasses import replace
from logging import Logger
from typing import Any, Callable, Optional, Sequence

from ademxapp.cli import library_versions
from ademxapp.data.loader import Loader
from ademxapp.driver import Identity, Stopwatch, devices
from ademxapp.engine import ENGINES, Device, Symbol, load
from ademxapp.errors import UsageError
from ademxapp.settings import DriverSettings
from ademxapp.symbol import label_stem
from ademxapp.symbol.heads import TOP
from ademxapp.training.fit import Plan, Validate, fit
from ademxapp.training.progress import Board, TrainingMetric, clock
from ademxapp.training.shared import OPTIMIZERS, Alone, Schedule
from ademxapp.training.snapshots import Snapshot, load_snapshot, only_run, remove_run, remove_unfinished, weights_of_run
from ademxapp.weights import parameters as weights
from ademxapp.weights.description import SEGMENTATION, Description


def train(settings: DriverSettings, run: Identity, workers: Alone, symbol: Symbol, dataset: Any,
          metric: TrainingMetric, log: Logger, description: Description,
          validation: Callable[[Sequence[Device], Optional[Board]], Validate]) -> None:
    """Train a task's network from afresh, from weights or from a snapshot, as the settings say; `workers`: as `join`.

    `description`, what is known of the weights, is written beside them, with the arguments and versions.
    `validation(contexts, board)` gives what `fit` takes as `validate`; it is asked for where `--val-every` is given.
    """
    contexts, writes = devices(settings, log), workers.rank == 0
    shards, path = len(contexts) * workers.count, os.path.join(settings.output, settings.model)
    if settings.batch_images % shards:
        raise UsageError(f"--batch-images {settings.batch_images} cannot be divided among {shards} devices")
    shapes = weights.parameter_shapes(symbol, data=(settings.batch_images // shards,) + tuple(dataset.data_shape))
    with only_run(f"{path}_snapshot") if writes else contextlib.nullcontext(), workers:
        snapshot = going_on(settings, run, path, shapes, len(dataset), log) if settings.resume else None
        if snapshot:
            parameters, settings = snapshot.parameters, replace(settings, from_epoch=snapshot.state["epoch"])
        else:
            parameters = starting_anew(settings, path, shapes, log)
        loader = Loader(dataset, settings.batch_images // workers.count, shuffle=True, drop_last=True,
                        seed=settings.seed, workers=settings.prefetch_threads, kind=settings.prefetcher,
                        part=workers.rank, parts=workers.count)
        plan = training_plan(settings, run, shards, len(dataset), loader.batches, description)
        workers.require_same({
            "arguments": [json.dumps(run.settings.identity(run.decides), sort_keys=True).encode()],
            "samples": [json.dumps(run.contents, sort_keys=True).encode()],
            "number of devices": [str(len(contexts)).encode()],
            "snapshot": [json.dumps(snapshot and [snapshot.state["epoch"], snapshot.state["batch"]]).encode()],
            "parameters": (parameters.all[name].tobytes() for name in sorted(parameters.all))})
        log.info("%d images, %d batches an epoch, epochs %d to %d of %d", len(dataset), loader.batches,
                 settings.from_epoch + 1, settings.stop_epoch, settings.to_epoch)
        if workers.count > 1:
            log.info("worker %d of %d, counted from 0: %d images of every batch", workers.rank, workers.count,
                     loader.batch_size)
        watch, board = Stopwatch(), None
        if settings.tensorboard and writes:
            done = settings.from_epoch * loader.batches + (snapshot.state["batch"] if snapshot else 0)
            board = Board(os.path.join(settings.tensorboard, settings.model), loader.batches, done)
        with contextlib.closing(board) if board else contextlib.nullcontext():
            validate = validation(contexts, board) if settings.val_every and writes else None
            if writes:
                (remove_unfinished if snapshot else remove_run)(path)
            fit(plan, load(settings.engine), symbol, loader, parameters, metric, contexts, log, snapshot, validate,
                workers, board)
    log.info("trained in %s, %s of it on the processors", clock(watch.seconds), clock(watch.cpu_seconds))


def training_plan(settings: DriverSettings, run: Identity, shards: int, images: int, batches: int,
                  description: Description) -> Plan:
    """The `Plan` of a training on `images`, in `batches` that are divided into `shards`."""
    # What a task's training has of its own (paper, sections 4 and 5).
    optimizer, stop_lr, counted = "nesterov", 1e-6, settings.batch_images
    if run.task == SEGMENTATION:
        optimizer, stop_lr, counted = "sgd", min(settings.base_lr / 100, 1e-6), shards
    schedule = Schedule(settings.lr_type, settings.base_lr, settings.to_epoch, batches, stop_lr,
                        settings.lr_steps or (), settings.lr_warmup or 0)
    optimizer_params = {"learning_rate": settings.base_lr, "lr_scheduler": schedule, "momentum": 0.9,
                        "wd": settings.weight_decay, "rescale_grad": 1 / counted}
    versions = library_versions()
    return Plan(settings, OPTIMIZERS[settings.optimizer or optimizer], optimizer_params, run.task == SEGMENTATION,
                state={"images": images, **run.record(), "versions": versions},
                about=replace(description, recipe=settings.arguments(), versions=versions).values())


def starting_anew(settings: DriverSettings, path: str, shapes: weights.Shapes, log: Logger) -> weights.Parameters:
    """What a new run starts from; UsageError where a run is that it would replace, unless that may be overwritten."""
    there = weights_of_run(path)
    if settings.overwrite and settings.weights in there:
        raise UsageError(f"--overwrite would remove {settings.weights}, which this run is to start from: give it "
                         "another --output, or another tag in --model")
    if there and not settings.overwrite:
        snapshots = f"{path}_snapshot" in there and not settings.resume
        way = "--resume goes on with it" if snapshots else "there is no snapshot to go on from"
        raise UsageError(f"there is a run {path} already ({there[-1]}): {way}, --overwrite removes it and starts "
                         "afresh; another --output, or another tag in --model, leaves it alone")
    if not settings.weights:
        log.info("no --weights: training from scratch, seed %d", settings.seed)
        return weights.start_afresh(shapes, settings.seed)
    parameters = weights.load_parameters(settings.weights)
    if label_stem(settings.weights) == settings.model:
        weights.require_exact(parameters, shapes, settings.weights)
        log.info("going on from %s, epoch %d, without momentum", settings.weights, settings.from_epoch)
        return parameters
    parameters, transfer = weights.start_from(parameters, shapes, TOP, settings.seed, settings.weights)
    log.info("from %s: %s", settings.weights, transfer)
    return parameters


def going_on(settings: DriverSettings, run: Identity, path: str, shapes: weights.Shapes, images: int, log: Logger
             ) -> Optional[Snapshot]:
    """The snapshot that a run goes on from; None where there is none. An error if it is not of the same training."""
    snapshot = load_snapshot(f"{path}_snapshot")
    if snapshot is None:
        return None
    state = snapshot.state
    if state.get("images", images) != images:
        raise ValueError(f"the snapshot is of a run with {state['images']} images, the list has {images}: bring the "
                         "old list back, or start anew with --overwrite")
    differing, before, now = run.differences(state), state["arguments"], settings.arguments()
    changed = [f"{name} was {before.get(name)}, now {now[name]}" if before.get(name) != now[name] else
               f"{name} has other contents" for name in differing if name in now]
    if changed:
        raise UsageError(f"--resume goes on with the snapshot's arguments, but {'; '.join(changed)}")
    if differing:
        raise ValueError(f"the snapshot is of a run on other images or labels ({', '.join(differing)}): bring the old "
                         "list back, or start anew with --overwrite")
    weights.require_exact(snapshot.parameters, shapes, "the snapshot")
    if state["epoch"] >= settings.stop_epoch:
        raise UsageError(f"nothing to do: the snapshot is of epoch {state['epoch']}, the end is {settings.stop_epoch}; "
                         "a later --stop-epoch, up to --to-epoch, goes on")
    log.info("going on from the snapshot after epoch %d, batch %d", state["epoch"], state["batch"])
    ours, theirs = load(settings.engine).versions(), state.get("versions", {})
    if not ours.keys() & theirs.keys():
        log.info("it is another engine's (%s); this one is %s", ", ".join(
            f"{name} {theirs[name]}" for name in ENGINES if name in theirs), " ".join(*ours.items()))
    return snapshot
