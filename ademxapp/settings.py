"""What runs are asked for, as far as it is not one task's alone: a class per group of flags (`ademxapp.flags`).

A field's type is what it holds where it is used. What a phase always fills in where nothing is given, as
`ademxapp.driver` and the drivers do, is not optional: until then, and in other phases, it may be None.
"""
from dataclasses import dataclass
from typing import Optional, Tuple

from ademxapp.cli import existing_file, file_name, number, numbers
from ademxapp.engine import ENGINES
from ademxapp.flags import Decides, Settings, flag
from ademxapp.training.shared import OPTIMIZERS, TYPES

SPLITS = ("train", "val", "trainval", "train+", "train++", "test")
DTYPES = ("float32", "bfloat16", "int8")  # that CPUs test in


@dataclass(frozen=True)
class Run(Settings):
    """What a driver does, to which network."""

    GROUP = "what to do"
    phase: str = flag("train, or test on a split", "train", recorded=True, choices=("train", "val", "test"))
    model: str = flag("the run's label, <dataset>_<network>_cls<N>[_s<stride>][_<tag>] (default: that of --weights)",
                      None, Decides.BOTH, metavar="LABEL")
    # What a training starts from is in its snapshots: to go on it need not be there any more.
    weights: Optional[str] = flag(".params file to start from or to test", None, Decides.TEST, contents=True,
                                  type=existing_file, metavar="FILE")
    output: str = flag("folder of what is written (default: output; when testing, the folder of the weights)",
                       metavar="DIR")
    seed: int = flag("of everything random", 0, Decides.TRAINING, type=number(int, 0))
    log_file: Optional[str] = flag("(default: <output>/<label>.log)", metavar="FILE")
    debug: bool = flag("MXNet's naive engine, and tracebacks of errors", False)


@dataclass(frozen=True)
class Devices(Settings):
    """Where a program computes."""

    GROUP = "devices"
    engine: Optional[str] = flag("what computes (default: mxnet where it is installed, else torch)", choices=ENGINES)
    gpus: Optional[Tuple[int, ...]] = flag("cards (default: the first, if any)", one_of="device",
                                           type=numbers(int, 0, distinct=True), metavar="0,1,…")
    cpus: Optional[int] = flag("CPU devices to divide batches among", one_of="device", type=number(int, 1, 64),
                               metavar="N")
    compile: bool = flag("with --engine torch: run the networks by torch.compile", False)


@dataclass(frozen=True)
class TrainingDevices(Devices):
    """Where a training computes."""

    kvstore: str = flag("with --engine mxnet: where gradients are added up; dist_sync: by the servers of "
                        "tools/launch.py, for all its workers", "device", recorded=True,
                        choices=("local", "device", "dist_sync"))
    stall_minutes: Optional[float] = flag("end a training where no batch has ended for so long; a validation must take "
                                          "less (default: 60 with tools/launch.py, else 0: never)",
                                          type=number(float, 0), metavar="M")


@dataclass(frozen=True)
class Data(Settings):
    """Which samples there are. Lists and records count by the samples that they name."""

    GROUP = "data"
    dataset: str = flag("(default: from the label)", None, Decides.BOTH)
    dataset_file: Optional[str] = flag("a dataset that is not built in: its classes, label ids, colours", None,
                                       Decides.BOTH, contents=True, type=existing_file, metavar="YAML")
    split: str = flag("part of the dataset", "train", Decides.BOTH, contents=True, choices=SPLITS)
    data_root: str = flag("where list paths start (default: data/<dataset>)", recorded=True, metavar="DIR")
    list: Optional[str] = flag("list of samples (default: data/<dataset>/<split>.lst)", None, Decides.BOTH,
                               contents=True, one_of="samples", metavar="FILE")
    records: Optional[str] = flag("samples packed by tools/pack.py: PREFIX.rec, PREFIX.idx", None, Decides.BOTH,
                                  contents=True, one_of="samples", metavar="PREFIX")
    prefetch_threads: int = flag("reading workers", 1, type=number(int, 1, 256), metavar="N")


@dataclass(frozen=True)
class Batches(Data):
    """How samples are read and put together."""

    batch_images: int = flag("images per batch, over all devices of all workers (default: 256 / 16 in training, 10 / 1 "
                             "in testing)", None, Decides.TRAINING, type=number(int, 1), metavar="N")
    prefetcher: str = flag("kind of the reading workers", "thread", choices=("thread", "process"))


@dataclass(frozen=True)
class Training(Settings):
    """How a network is trained; the drivers have a base rate and a weight decay of their own."""

    GROUP = "training"
    crop_size: int = flag("training crop (default: the network's / 500)", None, Decides.TRAINING, type=number(int, 1),
                          metavar="PIXELS")
    lr_type: str = flag("course of the learning rate", "fixed", Decides.TRAINING, choices=TYPES)
    base_lr: float = flag("first learning rate", 0.1, Decides.TRAINING, type=number(float, 0))
    lr_steps: Optional[Tuple[int, ...]] = flag("with --lr-type step: epochs at which the rate falls tenfold", None,
                                               Decides.TRAINING, type=numbers(int, 1), metavar="E,E,…")
    lr_warmup: Optional[float] = flag("the rate rises from 0 to its course over the first N epochs (default: it starts "
                                      "on it)", None, Decides.TRAINING, type=number(float, 0), metavar="N")
    optimizer: Optional[str] = flag("Nesterov's and plain momentum of 0.9, or Adam, whose rates are far smaller "
                                    "(default: nesterov in classification, sgd in segmentation, as in the paper)", None,
                                    Decides.TRAINING, choices=tuple(OPTIMIZERS))
    weight_decay: float = flag("of weights and gammas", 1e-4, Decides.TRAINING, type=number(float, 0))
    from_epoch: int = flag("epochs done before (default: as the weights' name says where its label is the run's, else "
                           "0)", type=number(int, 0), metavar="N")
    stop_epoch: int = flag("epoch to pause at (default: --to-epoch)", type=number(int, 1), metavar="N")
    to_epoch: int = flag("epochs of the schedule", None, Decides.TRAINING, type=number(int, 1), metavar="N")
    check_start: int = flag("first epoch whose checkpoint is kept", 1, type=number(int, 1), metavar="N")
    check_step: int = flag("keep a checkpoint every so many epochs; the last always", 1, type=number(int, 1),
                           metavar="N")
    backward_do_mirror: bool = flag("less memory for more time", False, recorded=True)
    val_every: Optional[int] = flag("test on the val split after every N epochs and at the end, at --test-scales; the "
                                    "best checkpoint is kept as <label>_best.params (default: never)",
                                    type=number(int, 1), metavar="N")
    val_list: Optional[str] = flag("with --val-every: the list to test on (default: data/<dataset>/val.lst)",
                                   metavar="FILE")
    tensorboard: Optional[str] = flag("folder for TensorBoard, where the run has one of its label: every report and "
                                      "validation, and pictures of the first validation images", metavar="DIR")
    snapshot_minutes: float = flag("time between snapshots inside an epoch; every epoch ends with one", 10,
                                   type=number(float, 0), metavar="M")
    keep: int = flag("snapshots that stay", 2, type=number(int, 1), metavar="N")
    resume: bool = flag("go on from the run's last snapshot, or start where there is none", False)


@dataclass(frozen=True)
class Testing(Settings):
    """How images are tested, and the test's folder."""

    GROUP = "testing"
    test_scales: Tuple[int, ...] = flag("lengths of the images' side (default: as the weights were trained, where they "
                                        "tell)", None, Decides.TEST, type=numbers(int, 1, distinct=True),
                                        metavar="N,N,…")
    test_flipping: bool = flag("average with the mirrored image", False, Decides.TEST)
    tag: Optional[str] = flag("ends the name of the test's folder", recorded=True, type=file_name)
    overwrite: bool = flag("replace another test, whose folder is emptied; when training, remove the run that is there "
                           "and start afresh", False)


@dataclass(frozen=True)
class Precision(Settings):
    """What a test computes in."""

    GROUP = "testing"
    dtype: Optional[str] = flag("what CPUs compute in; int8 measures the ranges of the maps on images of the train "
                                "split first, and keeps them beside the weights (default: float32)", None, Decides.BOTH,
                                choices=DTYPES)
    calibrate_list: Optional[str] = flag("with --dtype int8: the list of those images, of which some are chosen evenly "
                                         "(default: data/<dataset>/train.lst or, in classification, the class folders "
                                         "in <data-root>/train)", None, Decides.TEST, contents=True, metavar="FILE")


@dataclass(frozen=True)
class CalibrationData(Precision, Data):
    """What INT8's ranges are measured on."""


@dataclass(frozen=True)
class DriverSettings(Precision, Testing, Training, Batches, TrainingDevices, Run):
    """What both drivers are asked for."""
