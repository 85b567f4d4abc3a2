"""Images for classification: random crops in training, centre crops in testing."""
import numpy as np
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.images import ImageFile
from ademxapp.data.resize import resize, resize_part, scaled_size


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

    def __init__(self, samples, crop, settings, interpolation="adaptive", areas=(0.08, 1.0)):
        self.samples, self.crop, self.interpolation, self.areas = samples, crop, interpolation, areas
        self.mean, self.std = settings.mean, settings.std
        self.data_shape, self.label_shape = (3, crop, crop), ()

    def __len__(self):
        return len(self.samples)

    def describe(self, index):
        """The image's path."""
        return self.samples[index].image_path

    def load(self, index, rng):
        """A crop (3, crop, crop) float32 and its class id, float32."""
        file = _open(self.samples[index])
        box = transforms.random_sized_crop(rng, file.size, self.areas)
        pixels = resize_part(file, box, (self.crop, self.crop), self.interpolation)
        colours = transforms.jittered_normalisation(rng, pixels, self.mean, self.std)
        data = transforms.apply_colour_map(pixels, *colours)
        if rng.integers(2) == 0:
            data = data[..., ::-1]
        return data, np.float32(self.samples[index].class_id)


class TestImages:
    """A random-access dataset of centre crops, or of three crops along the longer side, each an item of its own.

    Parameters
    ----------
    scale : int
        Length of the shorter side and of the crop, in pixels.
    """

    __test__ = False  # no test case of pytest's

    def __init__(self, samples, scale, settings, three_crops=False, interpolation="adaptive"):
        self.samples, self.scale, self.interpolation = samples, scale, interpolation
        self.views = 3 if three_crops else 1
        self.colours = transforms.normalisation(settings.mean, settings.std)
        self.data_shape, self.label_shape = (3, scale, scale), ()

    def __len__(self):
        return len(self.samples) * self.views

    def describe(self, index):
        """The image's path."""
        return self.samples[index // self.views].image_path

    def load(self, index, rng):
        """A crop (3, scale, scale) float32 and the class id, float32; nothing is random."""
        sample = self.samples[index // self.views]
        image = Image.fromarray(_open(sample).rgb())
        size = scaled_size((image.height, image.width), self.scale, longer=False)
        image = resize(image, size, interpolation=self.interpolation)
        boxes = transforms.three_boxes(size, self.scale) if self.views == 3 else \
            [transforms.centre_box(size, self.scale)]
        pixels = np.asarray(image.crop(boxes[index % self.views]))
        return transforms.apply_colour_map(pixels, *self.colours), np.float32(sample.class_id)


def _open(sample):
    return ImageFile(sample.read()[0], sample.image_path)
