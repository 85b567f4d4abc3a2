"""Datasets for classification: one record each; their images, as random crops in training and centre crops in testing.

The ILSVRC 2012 development kit has the numbers of the classes in which the test server wants entries.
"""
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.dataset_file import read_dataset_file, shipped
from ademxapp.data.images import ImageFile, decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.data.loader import Dataset
from ademxapp.data.transforms import resize, resize_part, scaled_size, size_of
from ademxapp.errors import UsageError
from ademxapp.paper import published
from ademxapp.weights.description import Description

if TYPE_CHECKING:  # reading workers import this module, and need no more
    from ademxapp.symbol.options import InputSettings

DEVKIT = "ILSVRC2012_devkit_t12"
META = "data/meta.mat"
TEN_CROPS_OF = 256 / 224  # the shorter side over that of the crops (Krizhevsky et al. 2012)
MOST_PIXELS = 64_000_000  # of an image as scaled for a test: narrow ones grow by much


@dataclass(frozen=True)
class ClassificationDataset:
    """A dataset."""

    name: str
    class_names: Tuple[str, ...] = ()  # in the order of their ids; none where the record does not know them
    folders: Tuple[str, ...] = ()  # what the classes' folders are called, where that is not their names
    splits: Dict[str, int] = field(default_factory=dict)  # the images of each in the whole dataset
    paper_table: Optional[str] = field(default=None, metadata={"in_file": False})  # of the paper's, with errors on val

    def __post_init__(self) -> None:
        if not self.folders:
            object.__setattr__(self, "folders", self.class_names)

    def described(self) -> Dict[str, Any]:
        """What a `Description` of weights says of the dataset, by its names."""
        return {"class_names": self.class_names}

    @property
    def paper(self) -> Dict[Tuple[str, str], Tuple[float, ...]]:
        """{(network, split): (top-1, top-5)}, errors in percent as published."""
        rows = published(self.paper_table) if self.paper_table else {}
        return {(network, "val"): tuple(scores.values()) for (network, _), scores in rows.items()}


DATASETS = {record.name: record for record in shipped(ClassificationDataset, __file__)}
SYNSETS = DATASETS["ilsvrc-cls"].folders


def dataset_record(name: str, classes: int, dataset_file: Optional[str] = None) -> ClassificationDataset:
    """The record of a dataset, of `dataset_file` (YAML) if given; one without names for a folder tree that has none.

    Raises ValueError if the record's number of classes is another one.
    """
    if dataset_file is not None:
        record = read_dataset_file(dataset_file, ClassificationDataset, name)
    else:
        record = DATASETS.get(name, ClassificationDataset(name))
    if record.class_names and len(record.class_names) != classes:
        raise ValueError(f"dataset {name} has {len(record.class_names)} classes, the label says {classes}")
    return record


def described_record(known: Description, dataset: Optional[str] = None, dataset_file: Optional[str] = None
                     ) -> ClassificationDataset:
    """The record of the dataset whose classes weights have: of the file or other dataset named, else as they tell."""
    label = known.label.partition("_")[0]
    if dataset not in (None, label) or dataset_file or not known.class_names:
        other = dataset_record(dataset or label, known.classes, dataset_file)
        known.require_order(other.class_names or other.folders, dataset_file or other.name)
        return other
    built_in = DATASETS.get(label)
    if built_in is not None and built_in.class_names == known.class_names:
        return built_in
    return ClassificationDataset(label, known.class_names, known.folders)


def kit_synsets(devkit: str) -> Dict[int, str]:
    """{ILSVRC2012_ID: synset} of a development kit's meta.mat."""
    from scipy.io import loadmat

    path = os.path.join(devkit, META)
    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"]
        return {int(number): str(synset) for number, synset in zip(synsets["ILSVRC2012_ID"], synsets["WNID"])}
    except OSError:
        raise
    except Exception as error:  # scipy raises nearly anything at a broken file
        raise ValueError(f"{path} is not the development kit's: {error!r}; wanted a MATLAB file with the table "
                         "synsets, of ILSVRC2012_ID and WNID") from None


def kit_numbers(devkit: str, synsets: Sequence[str]) -> List[int]:
    """The ILSVRC2012_ID of each of `synsets` (list of int); ValueError if the kit lacks one."""
    numbers = {synset: number for number, synset in kit_synsets(devkit).items()}
    missing = [synset for synset in synsets if synset not in numbers]
    if missing:
        raise ValueError(f"{os.path.join(devkit, META)} has no number of {missing[0]}, and of {len(missing)} of the "
                         f"{len(synsets)} classes in all")
    return [numbers[synset] for synset in synsets]


def server_numbers(record: ClassificationDataset, devkit: Optional[str], data_root: str) -> Optional[List[int]]:
    """What the test server of ILSVRC calls our classes, None of others; UsageError without the kit that tells."""
    if record.folders != SYNSETS:
        return None
    devkit = devkit or os.path.join(data_root, DEVKIT)
    if not os.path.isdir(devkit):
        raise UsageError(f"--phase test needs the development kit, --devkit DIR ({DEVKIT}): the test server has its "
                         "own numbers of the classes")
    return kit_numbers(devkit, record.folders)


class TrainImages(Dataset):
    """A random-access dataset of augmented crops and class ids (paper section 4; Gross and Wilber's settings).

    `crop` is in pixels; `interpolation` is as of `ademxapp.data.transforms`; `areas` are the smallest and the largest
    share of an image's area that a crop takes.
    """

    def __init__(self, samples: Sequence[Sample], crop: int, settings: "InputSettings", interpolation: str = "adaptive",
                 areas: Tuple[float, float] = (0.08, 1.0)) -> None:
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = settings.mean, settings.std
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.float32]:
        """A crop (3, crop, crop) float32 and its class id, float32."""
        sample = self.samples[index]
        file = ImageFile(sample.read()[0], sample.image_path)
        box = transforms.random_sized_crop(rng, file.size, self.areas)
        pixels = resize_part(file, box, (self.crop, self.crop), self.interpolation, near=True)
        colours = transforms.jittered_normalisation(rng, pixels, self.mean, self.std)
        if rng.integers(2) == 0:
            pixels = cv2.flip(pixels, 1)
        return transforms.apply_colour_map(pixels, *colours), np.float32(sample.class_id)


class TestImages(Dataset):
    """A random-access dataset of an image's crops.

    `scale` is the length of the shorter side, in pixels; `crops`, one of CROPS, says which parts of the image, of side
    `crop`, by default the scale.
    """

    __test__ = False  # no test case of pytest's

    def __init__(self, samples: Sequence[Sample], scale: int, settings: "Union[InputSettings, Description]",
                 crops: str = "centre", interpolation: str = "adaptive", crop: Optional[int] = None) -> None:
        self.samples, self.scale, self.interpolation = samples, scale, interpolation
        self.crop, (views, self._boxes) = crop or scale, CROPS[crops]
        self.colours = transforms.normalisation(settings.mean, settings.std)
        self.data_shape, self.label_shape = (views, 3, self.crop, self.crop), ()

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.float32]:
        """Crops (views, 3, crop, crop) float32 and the class id, float32; nothing is random."""
        sample = self.samples[index]
        pixels = decode_rgb(sample.read()[0], sample.image_path)
        return self.views(pixels, sample.image_path), np.float32(sample.class_id)

    def views(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """The crops of an image (H, W, 3) uint8, as of `load`; ValueError that has `name` if it is too narrow."""
        views = np.empty(self.data_shape, np.float32)
        size = testing_size(size_of(pixels), self.scale, name)
        if size != size_of(pixels):
            pixels = np.asarray(resize(Image.fromarray(pixels), size, interpolation=self.interpolation))
        for view, (left, top, right, bottom) in zip(views, self._boxes(size, self.crop)):
            transforms.apply_colour_map(pixels[top:bottom, left:right], *self.colours, view)
        return views


def testing_size(size: Tuple[int, int], scale: int, name: str) -> Tuple[int, int]:
    """(h, w) of an image of `size` with its shorter side at `scale`; ValueError that has `name` if that is too much."""
    height, width = scaled_size(size, scale, longer=False)
    if height * width > MOST_PIXELS:
        raise ValueError(f"{name} has {size[1]}x{size[0]} pixels, and would have {width}x{height} with its shorter "
                         f"side at {scale}: cut it first")
    return height, width


def _centre(size: Tuple[int, int], crop: int) -> List[transforms.Box]:
    return [transforms.centre_box(size, crop)]


# {name: (count, function from an image's size and the crop's side to boxes)}; reading processes pickle the functions
CROPS: Dict[str, Tuple[int, Callable[[Tuple[int, int], int], List[transforms.Box]]]] = {
    "centre": (1, _centre), "three": (3, transforms.three_boxes), "five": (5, transforms.five_boxes)}


@dataclass(frozen=True)
class Views:
    """What is averaged for an image, as the driver's flags say."""

    scales: Tuple[int, ...]  # lengths of the shorter side, in pixels
    crops: str = "centre"  # one of CROPS
    crop: Optional[int] = None  # side of the crops; by default the scale, or for "five" 224/256 of it
    flipping: bool = False  # the mirrored crops too
    interpolation: Optional[str] = None  # how images are resized; by default as is known of the weights
    batch: int = 1  # crops per forward pass
    readers: int = 1  # workers that read, of this kind
    kind: str = "thread"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", (self.scales,) if isinstance(self.scales, int) else tuple(self.scales))
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales {self.scales}: wanted lengths of the images' shorter side, in pixels")
        if self.crops not in CROPS:
            raise ValueError(f"crops {self.crops!r}: known are {', '.join(CROPS)}")

    def side(self, scale: int) -> int:
        """Side of the crops at a scale; ValueError if it is larger."""
        side = self.crop or (round(scale / TEN_CROPS_OF) if self.crops == "five" else scale)
        if side > scale:
            raise ValueError(f"crops of {side} pixels are larger than the images' shorter side at size {scale}")
        return side

    @property
    def sides(self) -> List[int]:
        """Sides of the crops at all scales; ValueError where they are larger than the images."""
        return [self.side(scale) for scale in self.scales]

    def inputs(self) -> Dict[str, Any]:
        """What the network is given of an image, by the flags' names."""
        return {"test_scales": list(self.scales), "test_flipping": self.flipping and self.crops != "five",
                "test_3crops": self.crops == "three", "test_10crops": self.crops == "five",
                "test_crop_size": self.crop}
