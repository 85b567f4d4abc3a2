"""What iclass/ilsvrc.py is asked for."""
from dataclasses import dataclass
from typing import Optional, Tuple

from ademxapp.cli import existing_file, number, numbers
from ademxapp.flags import Decides, flag
from ademxapp.settings import DriverSettings
from ademxapp.symbol.layers import POOL_STYLES
from iclass.datasets import DEVKIT


def existing_files(text: str) -> Tuple[str, ...]:
    """An argparse type: paths of files, separated by commas."""
    return tuple(existing_file(path) for path in text.split(","))


@dataclass(frozen=True)
class ClassificationSettings(DriverSettings):
    """What classification has of its own."""

    GROUP = "classification"
    crop_area_range: Tuple[float, float] = flag("training: share of an image's area that a crop takes", (0.08, 1.0),
                                                Decides.TRAINING, type=numbers(float, 0.001, count=2),
                                                metavar="LOW,HIGH")
    also: Optional[Tuple[str, ...]] = flag("testing: weights of more networks, of the same classes; probabilities are "
                                           "averaged over all, each at all sizes", None, Decides.TEST, contents=True,
                                           type=existing_files, metavar="FILE,FILE,…")
    test_3crops: bool = flag("average three crops along the longer side", False, Decides.TEST,
                             one_of="crops")
    test_10crops: Optional[bool] = flag("average the crops in the corners and the centre, and their mirror images",
                                        None, Decides.TEST, one_of="crops", action="store_true")
    test_crop_size: Optional[int] = flag("testing: side of the crops (default: the size, or with --test-10crops "
                                         "224/256 of it)", None, Decides.TEST, type=number(int, 1),
                                         metavar="PIXELS")
    devkit: Optional[str] = flag("--phase test on ILSVRC: its development kit, with the server's numbers of the "
                                 f"classes (default: <data-root>/{DEVKIT})", recorded=True, metavar="DIR")
    no_choose_interp_method: bool = flag("resize always with the bicubic filter (default: as the network's record "
                                         "says, Lanczos down and bicubic up for the paper's)", False, Decides.BOTH)
    pool_top_infer_style: Optional[str] = flag("pooling without padding, sizes rounded down (caffe, as the released "
                                               "Model A wants) or up", None, Decides.BOTH,
                                               choices=tuple(style for style in POOL_STYLES if style))
