"""Images for classification: random crops in training, centre crops in testing."""
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.images import ImageFile
from ademxapp.data.lists import Sample
from ademxapp.data.resize import resize, resize_part, scaled_size
from ademxapp.symbol.networks import InputSettings

MOST_PIXELS = 64_000_000  # of an image as scaled for a test: narrow ones grow by much


class TrainImages:
    """A random-access dataset of augmented crops and class ids (paper section 4; Gross and Wilber's settings).

    Parameters
    ----------
    samples : list of Sample
    crop : int
        Pixels.
    settings : InputSettings
    interpolation : str
        How images are resized (see `ademxapp.data.resize`).
    areas : (float, float)
        Smallest and largest share of an image's area that a crop takes.
    """

    def __init__(self, samples: Sequence[Sample], crop: int, settings: InputSettings, interpolation: str = "adaptive",
                 areas: Tuple[float, float] = (0.08, 1.0)) -> None:
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = settings.mean, settings.std
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: Optional[np.random.Generator]) -> Tuple[np.ndarray, np.float32]:
        """A crop (3, crop, crop) float32 and its class id, float32."""
        file = _open(self.samples[index])
        box = transforms.random_sized_crop(rng, file.size, self.areas)
        pixels = resize_part(file, box, (self.crop, self.crop), self.interpolation, near=True)
        colours = transforms.jittered_normalisation(rng, pixels, self.mean, self.std)
        if rng.integers(2) == 0:
            pixels = cv2.flip(pixels, 1)
        return transforms.apply_colour_map(pixels, *colours), np.float32(self.samples[index].class_id)


class TestImages:
    """A random-access dataset of an image's crops.

    Parameters
    ----------
    scale : int
        Length of the shorter side, in pixels.
    crops : str
        One of CROPS: which parts of the image.
    crop : int, optional
        Side of the crops; by default the scale.
    """

    __test__ = False  # no test case of pytest's

    def __init__(self, samples: Sequence[Sample], scale: int, settings: InputSettings, crops: str = "centre",
                 interpolation: str = "adaptive", crop: Optional[int] = None) -> None:
        self.samples, self.scale, self.interpolation = samples, scale, interpolation
        self.crop, (views, self._boxes) = crop or scale, CROPS[crops]
        self.colours = transforms.normalisation(settings.mean, settings.std)
        self.data_shape, self.label_shape = (views, 3, self.crop, self.crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: Optional[np.random.Generator]) -> Tuple[np.ndarray, np.float32]:
        """Crops (views, 3, crop, crop) float32 and the class id, float32; nothing is random."""
        sample = self.samples[index]
        return self.views(_open(sample).rgb(), sample.image_path), np.float32(sample.class_id)

    def views(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """The crops of an image (H, W, 3) uint8, as of `load`; ValueError that has `name` if it is too narrow."""
        views = np.empty(self.data_shape, np.float32)
        size = testing_size(pixels.shape[:2], self.scale, name)
        if size != pixels.shape[:2]:
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


def _centre(size: Tuple[int, int], crop: int) -> List[Tuple[int, int, int, int]]:
    return [transforms.centre_box(size, crop)]


# {name: (count, function from an image's size and the crop's side to boxes)}; reading processes pickle the functions
CROPS = {"centre": (1, _centre), "three": (3, transforms.three_boxes), "five": (5, transforms.five_boxes)}


def _open(sample: Sample) -> ImageFile:
    return ImageFile(sample.read()[0], sample.image_path)
