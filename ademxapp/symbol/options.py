"""What a network of the zoo is, whichever family it belongs to, and what may differ between two builds of it.

Labels name a run: `<dataset>_<network>_cls<N>[_s<stride>][_<tag>]`.
"""
import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Optional, Tuple

POOL_STYLES = (None, "caffe", "full")
Features = Callable[[Any, Any, int], Any]  # of a Scope and a Symbol: a Symbol
_LABEL = re.compile(
    r"^(?P<dataset>[a-z0-9-]+)_(?P<network>[a-z0-9.-]+)_cls(?P<classes>\d+)(?:_s(?P<stride>\d+))?(?:_(?P<tag>.+))?$")
_EPOCH = re.compile(r"_ep(?:-(\d{4,}))?$")
_EXTENSIONS = (".params", ".json", ".log", ".jsonl", ".png", ".npz", ".safetensors", ".pth", ".onnx")


@dataclass(frozen=True)
class Label:
    """The parts of a label. `stride` is None where the network keeps its own."""

    dataset: str
    network: str
    classes: int
    stride: Optional[int] = None
    tag: Optional[str] = None

    def __str__(self) -> str:
        stride = "" if self.stride is None else f"_s{self.stride}"
        tag = "" if self.tag is None else f"_{self.tag}"
        return f"{self.dataset}_{self.network}_cls{self.classes}{stride}{tag}"


def label_stem(text: str) -> str:
    """The label in a file name: without its directory, extension and `_ep-NNNN`."""
    return _EPOCH.sub("", _file_stem(text))


def label_epoch(text: str) -> Optional[int]:
    """Epochs that a checkpoint's name counts (int), or None where it names none."""
    found = _EPOCH.search(_file_stem(text))
    return int(found.group(1)) if found and found.group(1) else None


def parse_label(text: str) -> Label:
    """Parse a label, or the label in a checkpoint's path; ValueError if it does not have the form of one."""
    found = _LABEL.match(label_stem(text))
    if not found:
        raise ValueError(f"{text!r} is no label: wanted <dataset>_<network>_cls<N>[_s<stride>][_<tag>], "
                         "for instance voc_rna-a1_cls21_s8")
    parts = found.groupdict()
    classes, stride = int(parts["classes"]), int(parts["stride"]) if parts["stride"] else None
    if classes < 1 or stride == 0:
        raise ValueError(f"{text!r} is no label: classes ({classes}) and stride ({stride}) start at 1")
    return Label(parts["dataset"], parts["network"], classes, stride, parts["tag"])


def _file_stem(text: str) -> str:
    name = os.path.basename(str(text).rstrip("/"))
    for extension in _EXTENSIONS:
        if name.endswith(extension):
            name = name[:-len(extension)]
    name = without_copy_number(name)
    return name[:-len("-symbol")] if name.endswith("-symbol") else name


def without_copy_number(stem: str) -> str:
    """A file's name, without its extension, without the `(1)` that browsers put behind one that was there already."""
    return re.sub(r" ?\(\d+\)$", "", stem)


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

    `features(scope, data, stride)` gives the last feature maps; `dense_features`, called alike, those for segmentation,
    and is None of a network that only classifies. `classifier(scope, features, classes)` gives class scores, where that
    of `heads.py` does not.
    """

    features: Features
    input: InputSettings
    native_stride: int  # output stride without dilation
    depth: int  # as the paper counts it
    classifier: Optional[Features] = None
    dense_features: Optional[Features] = None
    name: str = ""  # as in a label
    width: float = 1.0  # multiplies every channel count
    two_scales: bool = False  # features of the image at full and at half resolution (paper section 6.2, Cityscapes)

    @property
    def strides(self) -> Tuple[int, ...]:
        """All output strides that can be asked for: networks for segmentation dilate for the smaller ones."""
        dilated = {8, 16} if self.dense_features else set()
        return tuple(sorted({stride for stride in dilated if stride < self.native_stride} | {self.native_stride}))

    def stride(self, asked: Optional[int] = None) -> int:
        """Input pixels per cell: `asked` of it, None for its own; ValueError for what it cannot have."""
        stride = self.native_stride if asked is None else asked
        if stride not in self.strides:
            raise ValueError(f"{self.name} cannot have stride {stride}; it has {', '.join(map(str, self.strides))}")
        return stride


def whole_cells(pixels: int, stride: int) -> int:
    """`pixels` rounded up to a multiple of the stride."""
    return -(-pixels // stride) * stride


@dataclass(frozen=True)
class SymbolOptions:
    """What may differ between two builds of the same network: options that are not part of its label.

    `bn_use_global_stats` normalises by the moving means and variances, and leaves them as they are (testing;
    fine-tuning, paper section 5). `lr_type` has the learning rates of the biases and betas: "torch", as of the weights;
    "alex", twice as high and without weight decay; "fixed", every parameter that is built so stays as it is.
    `pool_top_infer_style` is how pooling that halves pads: None, by 1; "caffe", by 0, with sizes rounded down; "full",
    by 0, rounded up. `recompute` computes convolutions, BN and ReLUs again in the backward pass instead of keeping
    their outputs; what is kept are sums, concatenations and dropout. With `path_gates` every residual unit has one more
    input, `gate<unit>`, (N,), that chooses for the backward pass alone where an image's gradient goes: 1, through the
    mapping only; 0, through the shortcut only (paper section 6.3).
    """

    bn_use_global_stats: bool = False
    lr_type: str = "torch"
    pool_top_infer_style: Optional[str] = None
    recompute: bool = False
    path_gates: bool = False

    def __post_init__(self) -> None:
        for name, known in (("lr_type", ("torch", "alex", "fixed")), ("pool_top_infer_style", POOL_STYLES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; known are {', '.join(map(repr, known))}")
