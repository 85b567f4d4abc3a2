"""The arguments that both drivers have, and what follows from them."""
import json
import os

from ademxapp.cli import (
    UsageError,
    add_device_arguments,
    add_dtype_arguments,
    existing_file,
    file_name,
    number,
    numbers,
)
from ademxapp.data.loader import KINDS
from ademxapp.driver.precision import check_dtype
from ademxapp.symbol import label_epoch, label_stem, parse_label
from ademxapp.training import schedules

SPLITS = ("train", "val", "trainval", "train+", "train++", "test")
# What may differ between two runs that are the same run: where it runs, where its files are, how it tells.
NO_MATTER = ("output", "overwrite", "debug", "log_file", "gpus", "cpus", "prefetch_threads", "prefetcher",
             "cache_images", "resume", "stop_epoch", "check_start", "check_step", "from_epoch", "val_every", "val_list",
             "snapshot_minutes", "keep", "skip_done", "crf_workers", "stall_minutes")
# Recorded, but no reason to call two runs different: the same files may lie elsewhere.
PLACES = ("data_root", "dataset_file")


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
    add_dtype_arguments(add_testing_arguments(parser))


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
    group.add_argument("--tag", type=file_name, help="ends the name of the test's folder")
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


def check_training_arguments(args):
    """UsageError unless the arguments of training agree with each other; sets those that follow from others."""
    check_dtype(args)
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


def require_testing_arguments(args, default_scales=None):
    """UsageError unless there is what testing needs; sets `args.test_scales` where a default is given."""
    check_dtype(args)
    if not args.weights:
        raise UsageError(f"--phase {args.phase} needs --weights FILE")
    if not args.test_scales and not default_scales:
        raise UsageError(f"--phase {args.phase} needs --test-scales, for instance --test-scales 500")
    args.test_scales = args.test_scales or default_scales


def what_matters(args):
    """The arguments on which a run's result depends: {name: value}."""
    return json.loads(json.dumps({name: value for name, value in vars(args).items() if name not in NO_MATTER}))
