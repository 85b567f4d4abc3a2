"""Reading for training in the straightforward way: Pillow, and NumPy in float64, one operation after the other.

With the same random numbers these give the crops of `iclass.data` and `issegm.data`, to within rounding: a reference
for their speed and their contents.
"""
from typing import Sequence, Tuple

import numpy as np
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.data.lists import Sample
from ademxapp.data.resize import FILTERS, choose_filter
from ademxapp.data.transforms import GREY, LIGHTING_VALUES, LIGHTING_VECTORS, random_sized_crop
from ademxapp.symbol.networks import InputSettings
from issegm.datasets import SegmentationDataset

JITTER, LIGHTING = 0.4, 0.1


class PlainImages:
    """As `iclass.data.TrainImages`, with the same parameters."""

    def __init__(self, samples: Sequence[Sample], crop: int, settings: InputSettings, interpolation: str = "adaptive",
                 areas: Tuple[float, float] = (0.08, 1.0)):
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = np.array(settings.mean), np.array(settings.std)
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, int]:
        """A crop (3, crop, crop) float32 and its class id."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        box = random_sized_crop(rng, (image.height, image.width), self.areas)
        source = box[3] - box[1], box[2] - box[0]
        image = image.resize((self.crop, self.crop), method(source, (self.crop, self.crop), self.interpolation), box)
        pixels = np.asarray(image, np.float64) / 255
        for change in rng.permutation(3):
            factor = 1 + rng.uniform(-JITTER, JITTER)
            if change == 0:  # brightness
                other = np.zeros_like(pixels)
            elif change == 1:  # contrast
                other = np.full_like(pixels, grey_of(pixels).mean())
            else:  # saturation
                other = np.repeat(grey_of(pixels), 3, axis=2)
            pixels = factor * pixels + (1 - factor) * other
        pixels = pixels + (LIGHTING_VECTORS * LIGHTING_VALUES * rng.normal(0, LIGHTING, 3)).sum(1)
        pixels = (pixels / (1 + LIGHTING) - self.mean) / self.std
        if rng.integers(2) == 0:
            pixels = pixels[:, ::-1]
        return pixels.transpose(2, 0, 1).astype(np.float32), self.samples[index].class_id


class PlainCrops:
    """As `issegm.data.TrainCrops`, with the same parameters; files are not kept."""

    def __init__(self, samples: Sequence[Sample], record: SegmentationDataset, settings: InputSettings, stride: int,
                 crop: int, origin_size: int, rates: Tuple[float, float] = (0.7, 1.3)):
        self.samples, self.stride, self.crop, self.origin_size, self.rates = samples, stride, crop, origin_size, rates
        self.mean, self.std, self.interpolation = np.array(settings.mean), np.array(settings.std), \
            settings.interpolation
        self.data_shape, self.label_shape = (3, crop, crop), ((crop // stride) ** 2,)
        self.table = np.full(256, IGNORE_LABEL)
        self.table[list(record.label_ids)] = range(record.classes)

    def __len__(self) -> int:
        return len(self.samples)

    def describe(self, index: int) -> str:
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index: int, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """A crop (3, crop, crop) float32 and the classes of its cells, float32."""
        image = Image.open(self.samples[index].image_path).convert("RGB")
        classes = self.table[np.array(Image.open(self.samples[index].label_path))].astype(np.uint8)
        rate = round(self.origin_size * rng.uniform(*self.rates)) / max(image.size)
        width, height = round(image.width * rate), round(image.height * rate)
        image = image.resize((width, height), method(image.size, (width, height), self.interpolation))
        classes = np.asarray(Image.fromarray(classes).resize((width, height), Image.NEAREST))
        border = max(1, self.stride // 2)
        spreads = [max(side + 2 * border - self.crop, self.stride) for side in (height, width)]
        top, left = (int(rng.integers(spread + 1)) for spread in spreads)
        shape = [spread + self.crop for spread in spreads]
        pixels, labels = np.empty((*shape, 3), np.float32), np.full(shape, IGNORE_LABEL, np.uint8)
        pixels[:] = np.floor(self.mean * 255)
        pixels[border:border + height, border:border + width] = image
        labels[border:border + height, border:border + width] = classes
        pixels = pixels[top:top + self.crop, left:left + self.crop]
        cells = labels[top:top + self.crop, left:left + self.crop][self.stride // 2::self.stride,
                                                                  self.stride // 2::self.stride]
        if rng.integers(2) == 0:
            pixels, cells = pixels[:, ::-1], cells[:, ::-1]
        pixels = (pixels.astype(np.float64) / 255 - self.mean) / self.std
        return pixels.transpose(2, 0, 1).astype(np.float32), cells.reshape(-1).astype(np.float32)


def grey_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) as (H, W, 1)."""
    return (pixels * GREY).sum(2, keepdims=True)


def method(source: Tuple[int, int], target: Tuple[int, int], interpolation: str) -> int:
    """Pillow's filter."""
    return choose_filter(source, target) if interpolation == "adaptive" else FILTERS[interpolation]
