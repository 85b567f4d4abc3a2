"""What the drivers of both tasks share: arguments, devices, logs, the start of a training, the folder of a test."""
import contextlib
import json
import logging
import os
import platform
import resource
import sys
import time
from argparse import Namespace
from dataclasses import dataclass

import cv2
import numpy as np
import PIL
from tqdm import tqdm

import ademxapp
from ademxapp.backend import check_card, mx
from ademxapp.cli import LOG, UsageError, existing_file, number, numbers
from ademxapp.data.lists import scan_tree
from ademxapp.data.loader import KINDS, Loader
from ademxapp.data.records import read_records
from ademxapp.files import write_json
from ademxapp.symbol import label_epoch, label_stem, parse_label
from ademxapp.symbol.heads import TOP
from ademxapp.training import optimizers, schedules
from ademxapp.training.distributed import Alone, Watchdog, Workers
from ademxapp.training.fit import Plan, fit
from ademxapp.training.parameters import (
    load_parameters,
    parameter_shapes,
    require_exact,
    start_afresh,
    start_from,
)
from ademxapp.training.progress import clock
from ademxapp.training.snapshots import load_snapshot, only_run

SPLITS = ("train", "val", "trainval", "train+", "train++", "test")
# What may differ between two runs that are the same run: where it runs, where its files are, how it tells.
NO_MATTER = ("output", "overwrite", "debug", "log_file", "gpus", "cpus", "prefetch_threads", "prefetcher",
             "cache_images", "resume", "stop_epoch", "check_start", "check_step", "from_epoch", "val_every", "val_list",
             "snapshot_minutes", "keep", "skip_done", "crf_workers", "stall_minutes")
# Recorded, but no reason to call two runs different: the same files may lie elsewhere.
PLACES = ("data_root", "dataset_file")


@dataclass(frozen=True)
class Recipe:
    """What a task's training has of its own (paper sections 4 and 5). `stop_lr` is a function of the base rate."""

    optimizer: str
    rescale_by_device: bool
    fixed_statistics: bool
    stop_lr: object


CLASSIFICATION = Recipe(optimizers.TorchNesterov.__name__.lower(), False, False, lambda base_lr: 1e-6)
SEGMENTATION = Recipe("sgd", True, True, lambda base_lr: min(base_lr / 100, 1e-6))


def add_shared_arguments(parser, base_lr, weight_decay, check_step):
    """Add the arguments that both drivers have, in groups; the three defaults differ."""
    group = parser.add_argument_group("what to do")
    group.add_argument("--phase", choices=("train", "val", "test"), default="train", help="train, or test on a split")
    group.add_argument("--model", metavar="LABEL", help="the run's label, <dataset>_<network>_cls<N>[_s<stride>]"
                       "[_<tag>] (default: that of --weights)")
    group.add_argument("--weights", type=existing_file, metavar="FILE", help=".params file to start from or to test")
    group.add_argument("--output", metavar="DIR", help="folder of what is written (default: output; when testing, the "
                       "folder of the weights)")
    group.add_argument("--seed", type=number(int, 0), default=0, help="of everything random")
    group.add_argument("--log-file", metavar="FILE", help="(default: <output>/<label>.log)")
    group.add_argument("--debug", action="store_true", help="MXNet's naive engine, and tracebacks of errors")
    group = add_device_arguments(parser)
    group.add_argument("--kvstore", choices=("local", "device", "dist_sync"), default="device", help="where gradients "
                       "are added up; dist_sync: by the servers of tools/launch.py, for all its workers")
    group.add_argument("--stall-minutes", type=number(float, 0), metavar="M", help="end a training where no batch has "
                       "ended for so long; a validation must take less (default: 60 with dist_sync, else 0: never)")
    group = add_data_arguments(parser)
    group.add_argument("--batch-images", type=number(int, 1), metavar="N", help="images per batch, over all devices "
                       "of all workers (default: 256 / 16 in training, 10 / 1 in testing)")
    group.add_argument("--prefetcher", choices=KINDS, default="thread", help="kind of the reading workers")
    _add_training_arguments(parser, base_lr, weight_decay, check_step)
    add_testing_arguments(parser)


def add_device_arguments(parser):
    """Add the arguments that choose devices; their group."""
    group = parser.add_argument_group("devices")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--gpus", type=numbers(int, 0, distinct=True), metavar="0,1,…",
                       help="cards (default: the first, if any)")
    where.add_argument("--cpus", type=number(int, 1, 64), metavar="N", help="CPU devices to divide batches among")
    return group


def add_data_arguments(parser, split="train"):
    """Add the arguments that choose samples; their group."""
    group = parser.add_argument_group("data")
    group.add_argument("--dataset", help="(default: from the label)")
    group.add_argument("--dataset-file", type=existing_file, metavar="YAML", help="a dataset that is not built in: its "
                       "classes, label ids, colours")
    group.add_argument("--split", choices=SPLITS, default=split, help="part of the dataset")
    group.add_argument("--data-root", metavar="DIR", help="where list paths start (default: data/<dataset>)")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--list", metavar="FILE", help="list of samples (default: data/<dataset>/<split>.lst)")
    source.add_argument("--records", metavar="PREFIX", help="samples packed by tools/pack.py: PREFIX.rec, PREFIX.idx")
    group.add_argument("--prefetch-threads", type=number(int, 1, 256), default=1, metavar="N", help="reading workers")
    return group


def _add_training_arguments(parser, base_lr, weight_decay, check_step):
    group = parser.add_argument_group("training")
    group.add_argument("--crop-size", type=number(int, 1), metavar="PIXELS", help="training crop "
                       "(default: the network's / 500)")
    group.add_argument("--lr-type", choices=schedules.TYPES, default="fixed", help="course of the learning rate")
    group.add_argument("--base-lr", type=number(float, 0), default=base_lr, help="first learning rate")
    group.add_argument("--lr-steps", type=numbers(int, 1), metavar="E,E,…", help="with --lr-type step: epochs at which "
                       "the rate falls tenfold")
    group.add_argument("--weight-decay", type=number(float, 0), default=weight_decay, help="of weights and gammas")
    group.add_argument("--from-epoch", type=number(int, 0), metavar="N", help="epochs done before (default: as the "
                       "weights' name says where its label is the run's, else 0)")
    group.add_argument("--stop-epoch", type=number(int, 1), metavar="N", help="epoch to pause at (default: --to-epoch)")
    group.add_argument("--to-epoch", type=number(int, 1), metavar="N", help="epochs of the schedule")
    group.add_argument("--check-start", type=number(int, 1), default=1, metavar="N", help="first epoch whose "
                       "checkpoint is kept")
    group.add_argument("--check-step", type=number(int, 1), default=check_step, metavar="N", help="keep a checkpoint "
                       "every so many epochs; the last always")
    group.add_argument("--backward-do-mirror", action="store_true", help="less memory for more time")
    group.add_argument("--val-every", type=number(int, 1), metavar="N", help="test on the val split after every N "
                       "epochs and at the end, at --test-scales; the best checkpoint is kept as <label>_best.params "
                       "(default: never)")
    group.add_argument("--val-list", metavar="FILE", help="with --val-every: the list to test on (default: "
                       "data/<dataset>/val.lst)")
    group.add_argument("--snapshot-minutes", type=number(float, 0), default=10, metavar="M", help="time between "
                       "snapshots inside an epoch; every epoch ends with one")
    group.add_argument("--keep", type=number(int, 1), default=2, metavar="N", help="snapshots that stay")
    group.add_argument("--resume", action="store_true", help="go on from the run's last snapshot")


def add_testing_arguments(parser):
    """Add the arguments of tests; their group."""
    group = parser.add_argument_group("testing")
    group.add_argument("--test-scales", type=numbers(int, 1, distinct=True), metavar="N,N,…",
                       help="lengths of the images' side")
    group.add_argument("--test-flipping", action="store_true", help="average with the mirrored image")
    group.add_argument("--tag", help="ends the name of the test's folder")
    group.add_argument("--overwrite", action="store_true", help="replace the result of a test with other arguments")
    return group


def run_label(args):
    """The run's `Label`; sets `args.model`, `args.dataset`, `args.data_root` and `args.output` where not given."""
    if not args.model and not args.weights:
        raise UsageError("neither --model nor --weights is given: one of them says which network to use")
    try:
        label = parse_label(args.model or args.weights)
    except ValueError as error:
        raise UsageError(str(error)) from None
    args.model = label_stem(args.model or args.weights)
    args.weights = args.weights and os.path.normpath(args.weights)
    args.dataset = args.dataset or label.dataset
    args.data_root = args.data_root or os.path.join("data", args.dataset)
    if args.output is None:
        args.output = "output" if args.phase == "train" else os.path.dirname(args.weights or "") or "."
    return label


def require_testing_arguments(args, default_scales=None):
    """UsageError unless there is what testing needs; sets `args.test_scales` where a default is given."""
    if not args.weights:
        raise UsageError(f"--phase {args.phase} needs --weights FILE")
    if not args.test_scales and not default_scales:
        raise UsageError(f"--phase {args.phase} needs --test-scales, for instance --test-scales 500")
    args.test_scales = args.test_scales or default_scales


def find_samples(args, label, read_list, tree=False):
    """Samples of a split: of --list or --records, else data/<dataset>/<split>.lst, else, with `tree`, class folders.

    `read_list(path)` reads a list; `tree` says that the task is classification.
    """
    default_list = os.path.join("data", args.dataset, f"{args.split}.lst")
    folder = os.path.join(args.data_root, args.split)
    if args.list:
        if not os.path.isfile(args.list):
            raise UsageError(f"there is no list {args.list}")
        return read_list(args.list)
    if args.records:
        missing = [name for name in (f"{args.records}.rec", f"{args.records}.idx") if not os.path.isfile(name)]
        if missing:
            raise UsageError(f"there is no file {missing[0]}: --records wants what stands before .rec and .idx")
        return read_records(args.records, label.classes if tree else None)
    if os.path.isfile(default_list):
        return read_list(default_list)
    if tree and os.path.isdir(folder):
        samples = scan_tree(args.data_root, args.split, label.classes)
        if not samples:
            raise ValueError(f"there is no image in the class folders of {folder}")
        return samples
    places = [f"the list {default_list}"] + ([f"class folders in {folder}"] if tree else [])
    raise UsageError(f"no samples found: looked for {' and '.join(places)}; --list FILE or --records PREFIX names "
                     "others")


def validation_arguments(args, batch_images):
    """The arguments of the tests that `--val-every` asks for."""
    return Namespace(**{**vars(args), "split": "val", "list": args.val_list, "records": None,
                        "batch_images": batch_images})


def devices(args, log):
    """The devices (list of mx.Context) that the arguments ask for, logged."""
    gpus = args.gpus
    if gpus is None:
        gpus = (0,) if args.cpus is None and mx.context.num_gpus() else ()
    for index in gpus:
        try:
            check_card(index)
        except (ValueError, ImportError) as error:
            hint = "" if "--cpus" in str(error) else "; --cpus 1 runs on the CPU"
            raise UsageError(f"--gpus {','.join(map(str, gpus))}: {error}{hint}") from None
    contexts = [mx.gpu(index) for index in gpus] or [mx.cpu(index) for index in range(args.cpus or 1)]
    log.info("devices: %s", ", ".join(map(str, contexts)))
    return contexts


def join(args):
    """The workers that this process trains with: those of --kvstore dist_sync, once all are there; else it is alone."""
    distributed = args.kvstore == "dist_sync"
    if distributed != ("DMLC_ROLE" in os.environ):
        raise UsageError(f"--kvstore {args.kvstore} {'without' if distributed else 'under'} tools/launch.py, which "
                         "starts workers for --kvstore dist_sync: wanted both or neither")
    if args.stall_minutes is None:
        args.stall_minutes = 60 if distributed else 0
    if not distributed:
        return Alone()
    with Watchdog(args.stall_minutes, "the other workers, the servers and the scheduler"):
        return Workers()


def open_log(args, rank=0):
    """A log to stderr and to `--log-file`; its first lines say what runs. Workers behind the first number theirs."""
    path = args.log_file or os.path.join(args.output, f"{args.model}.log")
    if rank:
        path = f"-worker{rank}".join(os.path.splitext(path))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    log = logging.getLogger(LOG)
    log.setLevel(logging.DEBUG if args.debug else logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    for handler in (_BarHandler(), logging.FileHandler(path, encoding="utf-8")):
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)
    log.info("%s", " ".join([os.path.basename(sys.argv[0])] + sys.argv[1:]))
    log.info("%s", ", ".join(f"{name} {version}" for name, version in versions().items()))
    return log


class _BarHandler(logging.Handler):
    """Writes to stderr above a progress bar."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)


def versions():
    """Versions of what a result depends on: {name: version}."""
    return {"ademxapp": ademxapp.__version__, "python": platform.python_version(), "mxnet": mx.__version__,
            "numpy": np.__version__, "pillow": PIL.__version__, "opencv": cv2.__version__}


def what_matters(args):
    """The arguments on which a run's result depends: {name: value}."""
    return json.loads(json.dumps({name: value for name, value in vars(args).items() if name not in NO_MATTER}))


# Training


def train(args, workers, symbol, dataset, metric, recipe, log, validation):
    """Train a task's network from afresh, from weights or from a snapshot, as the arguments say; `workers`: as `join`.

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
        plan, loader = training_plan(args, workers, shards, dataset, recipe)
        require_same_start(workers, args, len(contexts), parameters, snapshot)
        log.info("%d images, %d batches an epoch, epochs %d to %d of %d", len(dataset), loader.batches,
                 args.from_epoch + 1, args.stop_epoch, args.to_epoch)
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


def training_plan(args, workers, shards, dataset, recipe):
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
        state={"images": len(dataset), "arguments": what_matters(args), "versions": versions()}), loader


def check_training_arguments(args):
    """UsageError unless the arguments of training agree with each other; sets those that follow from others."""
    if args.to_epoch is None:
        raise UsageError("--phase train needs --to-epoch, the number of epochs of the schedule")
    if bool(args.lr_steps) != (args.lr_type == "step"):
        raise UsageError(f"--lr-steps {args.lr_steps or 'not given'} does not go with --lr-type {args.lr_type}: "
                         "give both --lr-type step and --lr-steps, or neither")
    if args.from_epoch is None:
        same = args.weights and label_stem(args.weights) == args.model
        args.from_epoch = (label_epoch(args.weights) or 0) if same else 0
    args.stop_epoch = args.stop_epoch or args.to_epoch
    if not args.from_epoch < args.stop_epoch <= args.to_epoch:
        raise UsageError(f"epochs do not follow each other: --from-epoch {args.from_epoch}, --stop-epoch "
                         f"{args.stop_epoch}, --to-epoch {args.to_epoch}; wanted from < stop <= to")


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


# Testing


def test_folder(args, *more, name=None):
    """The folder of a test's results, made; UsageError if it holds a result with other arguments.

    It is called `name`, the weights' unless given, with the split unless that is val, the tag, and what else there is
    (`more`, str or None).
    """
    name = name or os.path.splitext(os.path.basename(args.weights))[0]
    parts = (name, None if args.split == "val" else args.split, args.tag, *more)
    folder = os.path.join(args.output, "_".join(part for part in parts if part))
    path = os.path.join(folder, "result.json")
    if os.path.isfile(path) and not args.overwrite:
        before, now = read_result(path)["arguments"], what_matters(args)
        changed = sorted(name for name in {*before, *now} - set(PLACES)  # an older result lacks new flags
                         if (before.get(name) or None) != (now.get(name) or None))
        if changed:
            raise UsageError(f"{folder} holds the result of a test with another {', '.join(changed)}: give this one a "
                             "--tag, or replace that one with --overwrite")
    os.makedirs(folder, exist_ok=True)
    return folder


def discard_result(folder):
    """Remove the `result.json` of an earlier test: it would not be that of the pictures written from now on."""
    path = os.path.join(folder, "result.json")
    if os.path.isfile(path):
        os.unlink(path)


def read_result(path):
    """The contents of a `result.json`; ValueError if it is none."""
    try:
        with open(path, encoding="utf-8") as source:
            result = json.load(source)
        if "arguments" in result:
            return result
    except json.JSONDecodeError:
        pass
    raise ValueError(f"{path} is no result of a test: remove it, or give --overwrite")


def write_result(folder, args, images, seconds, paper, scores):
    """Write `result.json`: what was tested, how, and its scores (a dictionary)."""
    write_json(os.path.join(folder, "result.json"), {
        "label": args.model, "weights": args.weights, "split": args.split, "arguments": what_matters(args),
        "versions": versions(), "images": images, "images_per_second": round(images / seconds, 3), "paper": paper,
        **scores})


def exact_parameters(args, symbol, shape):
    """The parameters of `--weights`; ValueError unless they are those of `symbol` for inputs of `shape`."""
    parameters = load_parameters(args.weights)
    require_exact(parameters, parameter_shapes(symbol, data=shape), args.weights)
    return parameters


class Stopwatch:
    """Seconds since it was made: by the clock, and of this process on the processors."""

    def __init__(self):
        self._start = time.monotonic(), time.process_time(), self._of_children()

    @property
    def seconds(self):
        return time.monotonic() - self._start[0]

    @property
    def cpu_seconds(self):
        return time.process_time() - self._start[1]

    @property
    def children_cpu_seconds(self):
        """Of the processes started here that have ended since."""
        return self._of_children() - self._start[2]

    @staticmethod
    def _of_children():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
