"""Images for classification: random crops in training, centre crops in testing."""
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.images import ImageFile
from ademxapp.data.lists import Sample
from ademxapp.data.resize import resize, resize_part, scaled_size, size_of

if TYPE_CHECKING:  # reading workers import this module, and need no more
    from ademxapp.symbol.networks import InputSettings
    from ademxapp.weights.description import Description

TEN_CROPS_OF = 256 / 224  # the shorter side over that of the crops (Krizhevsky et al. 2012)
Box = Tuple[int, int, int, int]  # left, top, right, bottom
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

    def __init__(self, samples: Sequence[Sample], crop: int, settings: "InputSettings", interpolation: str = "adaptive",
                 areas: Tuple[float, float] = (0.08, 1.0)) -> None:
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = settings.mean, settings.std
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.float32]:
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

    def __init__(self, samples: Sequence[Sample], scale: int, settings: "Union[InputSettings, Description]",
                 crops: str = "centre", interpolation: str = "adaptive", crop: Optional[int] = None) -> None:
        self.samples, self.scale, self.interpolation = samples, scale, interpolation
        self.crop, (views, self._boxes) = crop or scale, CROPS[crops]
        self.colours = transforms.normalisation(settings.mean, settings.std)
        self.data_shape, self.label_shape = (views, 3, self.crop, self.crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.float32]:
        """Crops (views, 3, crop, crop) float32 and the class id, float32; nothing is random."""
        sample = self.samples[index]
        return self.views(_open(sample).rgb(), sample.image_path), np.float32(sample.class_id)

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


def _centre(size: Tuple[int, int], crop: int) -> List[Box]:
    return [transforms.centre_box(size, crop)]


# {name: (count, function from an image's size and the crop's side to boxes)}; reading processes pickle the functions
CROPS: Dict[str, Tuple[int, Callable[[Tuple[int, int], int], List[Box]]]] = {
    "centre": (1, _centre), "three": (3, transforms.three_boxes), "five": (5, transforms.five_boxes)}


@dataclass(frozen=True)
class Views:
    """What is averaged for an image, as the driver's flags say.

    Attributes
    ----------
    scales : tuple of int
        Lengths of the shorter side, in pixels.
    crops : str
        One of CROPS.
    crop : int, optional
        Side of the crops; by default the scale, or for "five" 224/256 of it.
    flipping : bool
        The mirrored crops too.
    interpolation : str, optional
        How images are resized; by default as is known of the weights.
    batch : int
        Crops per forward pass.
    readers, kind : int, str
        Workers that read, and their kind.
    """

    scales: Tuple[int, ...]
    crops: str = "centre"
    crop: Optional[int] = None
    flipping: bool = False
    interpolation: Optional[str] = None
    batch: int = 1
    readers: int = 1
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


def _open(sample: Sample) -> ImageFile:
    return ImageFile(sample.read()[0], sample.image_path)
