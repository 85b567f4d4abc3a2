"""From arguments to a training."""
import contextlib
import json
import os
from dataclasses import dataclass, replace

from ademxapp.data.loader import Loader
from ademxapp.driver.arguments import PLACES, what_matters
from ademxapp.driver.environment import Stopwatch, devices, versions
from ademxapp.errors import UsageError
from ademxapp.symbol import label_stem
from ademxapp.symbol.heads import TOP
from ademxapp.training import optimizers, schedules
from ademxapp.training.fit import Plan, fit
from ademxapp.training.progress import clock
from ademxapp.training.snapshots import load_snapshot, only_run
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact, start_afresh, start_from


@dataclass(frozen=True)
class Recipe:
    """What a task's training has of its own (paper sections 4 and 5). `stop_lr` is a function of the base rate."""

    optimizer: str
    rescale_by_device: bool
    fixed_statistics: bool
    stop_lr: object


CLASSIFICATION = Recipe(optimizers.TorchNesterov.__name__.lower(), False, False, lambda base_lr: 1e-6)
SEGMENTATION = Recipe("sgd", True, True, lambda base_lr: min(base_lr / 100, 1e-6))


def train(args, workers, symbol, dataset, metric, recipe, log, description, validation):
    """Train a task's network from afresh, from weights or from a snapshot, as the arguments say; `workers`: as `join`.

    `description`, what is known of the weights, is written beside them, with the arguments and versions.
    `validation(contexts)` gives what `fit` takes as `validate`; it is asked for where `--val-every` is given.
    """
    contexts = devices(args, log)
    shards = len(contexts) * workers.count
    if args.batch_images % shards:
        raise UsageError(f"--batch-images {args.batch_images} cannot be divided among {shards} devices")
    shapes = parameter_shapes(symbol, data=(args.batch_images // shards,) + tuple(dataset.data_shape))
    folder = os.path.join(args.output, f"{args.model}_snapshot")
    with only_run(folder) if workers.rank == 0 else contextlib.nullcontext(), workers:
        parameters, snapshot = starting_point(args, shapes, len(dataset), log)
        plan, loader = training_plan(args, workers, shards, dataset, recipe, description)
        require_same_start(workers, args, len(contexts), parameters, snapshot)
        log.info("%d images, %d batches an epoch, epochs %d to %d of %d", len(dataset), loader.batches,
                 args.from_epoch + 1, args.stop_epoch, args.to_epoch)
        if workers.count > 1:
            log.info("worker %d of %d, counted from 0: %d images of every batch", workers.rank, workers.count,
                     loader.batch_size)
        watch = Stopwatch()
        validate = validation(contexts) if args.val_every and workers.rank == 0 else None
        parameters = fit(plan, symbol, loader, parameters, metric, contexts, log, snapshot, validate, workers)
    log.info("trained in %s, %s of it on the processors", clock(watch.seconds), clock(watch.cpu_seconds))
    return parameters


def require_same_start(workers, args, devices, parameters, snapshot):
    """ValueError unless all workers train the same thing from the same point."""
    arguments = {name: value for name, value in what_matters(args).items() if name not in (*PLACES, "weights")}
    place = snapshot and [snapshot.state["epoch"], snapshot.state["batch"]]
    workers.require_same({
        "arguments": [json.dumps(arguments, sort_keys=True).encode()],
        "number of devices": [str(devices).encode()],
        "snapshot": [json.dumps(place).encode()],
        "parameters": (parameters.all[name].asnumpy().tobytes() for name in sorted(parameters.all))})


def training_plan(args, workers, shards, dataset, recipe, description):
    """The `Plan` of a training whose batches are divided into `shards`, and the `Loader` of this worker's part."""
    loader = Loader(dataset, args.batch_images // workers.count, shuffle=True, drop_last=True, seed=args.seed,
                    workers=args.prefetch_threads, kind=args.prefetcher, part=workers.rank, parts=workers.count)
    schedule = schedules.make_schedule(args.lr_type, args.base_lr, args.to_epoch, loader.batches,
                                       recipe.stop_lr(args.base_lr), args.lr_steps or ())
    return Plan(
        label=args.model, output=args.output, from_epoch=args.from_epoch, stop_epoch=args.stop_epoch,
        optimizer=recipe.optimizer,
        optimizer_params={"learning_rate": args.base_lr, "lr_scheduler": schedule, "momentum": 0.9,
                          "wd": args.weight_decay,
                          "rescale_grad": 1 / (shards if recipe.rescale_by_device else args.batch_images)},
        seed=args.seed, check_start=args.check_start, check_step=args.check_step, kvstore=args.kvstore,
        fixed_statistics=recipe.fixed_statistics, val_every=args.val_every or 0,
        snapshot_seconds=60 * args.snapshot_minutes, keep=args.keep,
        stall_minutes=args.stall_minutes,
        state={"images": len(dataset), "arguments": what_matters(args), "versions": versions()},
        about=replace(description, recipe=what_matters(args), versions=versions()).values()), loader


def starting_point(args, shapes, images, log):
    """Parameters to start from, and the snapshot where the run goes on from one; sets `args.from_epoch`."""
    if args.resume:
        snapshot = load_snapshot(os.path.join(args.output, f"{args.model}_snapshot"))
        _require_same_run(args, snapshot.state["arguments"])
        if snapshot.state.get("images", images) != images:
            raise ValueError(f"the snapshot is of a run with {snapshot.state['images']} images, the list has {images}: "
                             "bring the old list back, or start without --resume")
        require_exact(snapshot.parameters, shapes, "the snapshot")
        args.from_epoch = snapshot.state["epoch"]
        if args.from_epoch >= args.stop_epoch:
            raise UsageError(f"nothing to do: the snapshot is of epoch {args.from_epoch}, the end is "
                             f"{args.stop_epoch}; a later --stop-epoch, up to --to-epoch, goes on")
        log.info("going on from the snapshot after epoch %d, batch %d", args.from_epoch, snapshot.state["batch"])
        return snapshot.parameters, snapshot
    if not args.weights:
        log.info("no --weights: training from scratch, seed %d", args.seed)
        return start_afresh(shapes, args.seed), None
    parameters = load_parameters(args.weights)
    if label_stem(args.weights) == args.model:
        require_exact(parameters, shapes, args.weights)
        log.info("going on from %s, epoch %d, without momentum", args.weights, args.from_epoch)
        return parameters, None
    parameters, transfer = start_from(parameters, shapes, TOP, args.seed, args.weights)
    log.info("from %s: %s", args.weights, transfer)
    return parameters, None


def _require_same_run(args, before):
    now = what_matters(args)
    changed = [f"{name} was {before.get(name)}, now {now[name]}" for name in now
               if name not in (*PLACES, "weights", "phase")
               and (now[name] or None) != (before.get(name) or None)]  # older snapshots lack new flags
    if changed:
        raise UsageError(f"--resume goes on with the snapshot's arguments, but {'; '.join(changed)}")
