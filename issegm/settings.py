"""What issegm/voc.py is asked for; tools/msctest.py shares the groups of testing."""
from argparse import ArgumentTypeError
from dataclasses import dataclass
from typing import Optional, Tuple, Union

from ademxapp.cli import number, numbers
from ademxapp.evaluation.dense import CrfSettings
from ademxapp.flags import Decides, Settings, changed, flag
from ademxapp.settings import DriverSettings, Training
from ademxapp.symbol.heads import HEADS
from ademxapp.symbol.zoo import SEGMENTATION_LOSSES

Shard = Tuple[int, int]  # (i, n): every n-th image, from the i-th on
Values = Union[None, float, Tuple[float, ...]]  # of a flag of the CRF: several are a grid's


def shard(text: str) -> Shard:
    """An argparse type: "2/5", the second of five parts, as (2, 5)."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ArgumentTypeError(f"{text!r}: wanted I/N, for instance 1/4 to 4/4")
    return int(number), int(count)


@dataclass(frozen=True)
class SegmentationTraining(DriverSettings):
    """What training segmentation has of its own."""

    GROUP = "segmentation"
    base_lr: float = changed(Training, "base_lr", 0.0016)
    weight_decay: float = changed(Training, "weight_decay", 5e-4)
    check_step: int = changed(Training, "check_step", 4)
    origin_size: int = flag("training: the longer side is resized to this times a factor of --scale-rate-range "
                            "(default: the dataset's largest side)", None, Decides.TRAINING, type=number(int, 1),
                            metavar="PIXELS")
    scale_rate_range: Tuple[float, float] = flag("of the scales in training", (0.7, 1.3), Decides.TRAINING,
                                                 type=numbers(float, 0.05, count=2), metavar="LOW,HIGH")
    colour_jitter: Optional[float] = flag("training: brightness, contrast and saturation each change by a factor in "
                                          "1 ± X (default: not at all)", None, Decides.TRAINING,
                                          type=number(float, 0, 1), metavar="X")
    class_crops: Optional[float] = flag("training: this share of the crops is put over a pixel of a class drawn "
                                        "evenly among the image's classes, so that rare ones are seen more often "
                                        "(default: none)", None, Decides.TRAINING, type=number(float, 0, 1),
                                        metavar="SHARE")
    class_weights: Optional[Tuple[float, ...]] = flag("training: what a cell weighs in the loss, for every class in "
                                                      "their order (default: 1 each)", None, Decides.TRAINING,
                                                      type=numbers(float, 0), metavar="W,W,…")
    cache_images: int = flag("taken, and without effect: the system keeps the files that fit into the free memory, "
                             "for all readers", 1, type=number(int, 0, 1), metavar="0|1")
    head: str = flag("layers behind the features; when testing, the weights tell", HEADS[0], Decides.TRAINING,
                     choices=HEADS)
    loss: str = flag("online bootstrapping, or plain softmax", SEGMENTATION_LOSSES[0], Decides.TRAINING,
                     choices=SEGMENTATION_LOSSES)


@dataclass(frozen=True)
class DenseTesting(Settings):
    """How images are segmented."""

    GROUP = "testing of segmentation"
    test_steps: int = flag("shifts per direction, in parts of the stride", 1, Decides.TEST,
                           type=number(int, 1), metavar="N")
    window: Optional[int] = flag("larger inputs go through the network in overlapping windows of this side (default: "
                                 "only those that do not fit into the free memory, in the largest windows that do)",
                                 None, Decides.TEST, type=number(int, 1), metavar="PIXELS")
    no_save_results: bool = flag("do not write label images", False, recorded=True)
    shard: Optional[Shard] = flag("only every N-th image, from the I-th on; tools/msctest.py --score adds the parts up",
                                  recorded=True, type=shard, metavar="I/N")


def _of_crf(help: str, name: str) -> Values:
    kind, default = int if name == "iterations" else float, getattr(CrfSettings(), name)
    smallest = 0.01 if name.endswith(("width", "colour")) else 0
    return flag(f"{help} (default: {default:g})", None, Decides.TEST, type=numbers(kind, smallest),
                metavar="N" if kind is int else "X")


@dataclass(frozen=True)
class Crf(Settings):
    """The conditional random field."""

    GROUP = "conditional random field"
    ABOUT = ("The defaults are DeepLab's (Chen et al., TPAMI 40(4), 2018), for PASCAL VOC; tools/msctest.py --search "
             "looks for others.")
    crf: bool = flag("label pixels by a CRF over the averaged scores", False, Decides.TEST)
    crf_iterations: Values = _of_crf("of the mean-field approximation", "iterations")
    crf_gaussian_weight: Values = _of_crf("of the term of distance", "gaussian_weight")
    crf_gaussian_width: Values = _of_crf("its standard deviation in pixels", "gaussian_width")
    crf_bilateral_weight: Values = _of_crf("of the term of distance and colour", "bilateral_weight")
    crf_bilateral_width: Values = _of_crf("its standard deviation in pixels", "bilateral_width")
    crf_bilateral_colour: Values = _of_crf("its standard deviation in levels of colour, 0 … 255", "bilateral_colour")
    crf_workers: Optional[int] = flag("processes (default: one per processor)", type=number(int, 1, 256), metavar="N")


@dataclass(frozen=True)
class SegmentationSettings(Crf, DenseTesting, SegmentationTraining):
    """All that issegm/voc.py is asked for."""

    GROUP = DenseTesting.GROUP
    skip_done: bool = flag("do not predict images again whose files are there from the same arguments and weights; "
                           "they are scored as they are", False)
    save_predictions: bool = flag("keep the score maps, for tools/msctest.py: scores/<image>.h5 or, with several "
                                  "scales, scores/scale-<N>/<image>.h5", False, recorded=True)
