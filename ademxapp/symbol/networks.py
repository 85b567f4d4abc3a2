"""What a network of the zoo is, whichever family it belongs to."""
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

from ademxapp.symbol import heads
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.recorder import Symbol

DILATED_STRIDES = (8, 16)
Features = Callable[[Scope, Symbol, int], Symbol]


@dataclass(frozen=True)
class InputSettings:
    """The images that a network expects: RGB / 255, less the mean, over the deviation; crops in pixels.

    `interpolation` scales an image for testing: "adaptive" (Lanczos where both sides shrink, bicubic where both grow,
    else bilinear), or the name of one filter.
    """

    train_crop: int
    test_crop: int
    mean: Tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: Tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "adaptive"


IMAGENET = InputSettings(224, 320)  # paper section 6.1


@dataclass(frozen=True)
class Network:
    """A network of the zoo.

    Attributes
    ----------
    name, base : str
        As in a label; the same without the width.
    features : callable
        `features(scope, data, stride)`: the last feature maps.
    native_stride, strides : int, tuple of int
        Output stride without dilation, and all that can be asked for.
    depth : int
        As the paper counts it.
    classifier : callable
        `classifier(scope, features, classes)`: class scores.
    dense_features : callable or None
        As `features`, for segmentation; None for a network that only classifies.
    width : float
        Multiplies every channel count.
    two_scales : bool
        Features of the image at full and at half resolution, concatenated (paper section 6.2, Cityscapes).
    """

    name: str
    features: Features
    input: InputSettings
    native_stride: int
    strides: Tuple[int, ...]
    depth: int
    classifier: Features = heads.classifier
    dense_features: Optional[Features] = None
    width: float = 1.0
    two_scales: bool = False
    base: str = ""

    def stride(self, asked: Optional[int] = None) -> int:
        """Input pixels per cell: `asked` of it, None for its own; ValueError for what it cannot have."""
        stride = self.native_stride if asked is None else asked
        if stride not in self.strides:
            raise ValueError(f"{self.name} cannot have stride {stride}; it has {', '.join(map(str, self.strides))}")
        return stride


def single_stride(name: str, features: Features, settings: InputSettings, stride: int, depth: int,
                  classifier: Features = heads.classifier) -> Network:
    """A network that only classifies."""
    return Network(name, features, settings, stride, (stride,), depth, classifier, base=name)


def dilatable(name: str, features: Features, settings: InputSettings, native_stride: int, depth: int,
              classifier: Features = heads.classifier, dense_features: Optional[Features] = None) -> Network:
    """A network for classification and segmentation, with dilation for smaller strides."""
    strides = tuple(sorted({stride for stride in DILATED_STRIDES if stride < native_stride} | {native_stride}))
    return Network(name, features, settings, native_stride, strides, depth, classifier, dense_features or features,
                   base=name)


def whole_cells(pixels: int, stride: int) -> int:
    """`pixels` rounded up to a multiple of the stride."""
    return -(-pixels // stride) * stride
