"""Labels and network names to Symbols."""
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Optional, Tuple

from ademxapp.engine.mxnet.backend import mx
from ademxapp.symbol import heads, inception, losses, resnet, vgg
from ademxapp.symbol.labels import Label, parse_label
from ademxapp.symbol.layers import Scope, concat
from ademxapp.symbol.options import SymbolOptions
from ademxapp.symbol.rna import NOTATIONS, TEST_CROPS, parse_rna, rna_features

_NAME = re.compile(r"(?P<base>.+?)(?P<scales>-2s)?(?:-w(?P<width>\d+(?:\.\d+)?))?")
DILATED_STRIDES = (8, 16)
SEGMENTATION_LOSSES = ("ohem", "softmax")


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
INCEPTION = InputSettings(299, 299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
CIFAR = InputSettings(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))


@dataclass(frozen=True)
class Network:
    """A network of the zoo.

    Attributes
    ----------
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
    features: Callable
    input: InputSettings
    native_stride: int
    strides: Tuple[int, ...]
    depth: int
    classifier: Callable = heads.classifier
    dense_features: Optional[Callable] = None
    width: float = 1.0
    two_scales: bool = False


def network(name):
    """The `Network` of a name such as `rna-a1`, `rna-112-1-1-1-1-9-1-1-c` or `rna-a1-2s-w0.125`.

    Raises
    ------
    ValueError
        If there is no such network; the message names those there are.
    """
    parts = _NAME.fullmatch(name)
    base = _base_network(parts["base"]) if parts else None
    width = float(parts["width"]) if parts and parts["width"] else 1.0
    if base is None or width <= 0:
        raise ValueError(f"network {name!r} is not known; known are {', '.join(known_networks())}, and rna-<notation> "
                         "such as rna-224-0-3-3-6-3-1-1 (-c behind it: strided); each may end in -2s, in -w<factor>")
    if parts["scales"] and not base.dense_features:
        raise ValueError(f"network {name!r} is not known: {base.name} has one scale, as it only classifies")
    return replace(base, name=name, width=width, two_scales=bool(parts["scales"]))


def known_networks():
    """Names of the networks that have one: the paper's, and those that it compares with."""
    family = [f"rna-{letter}{form}" for letter in NOTATIONS for form in ("", "1")] + ["rna-a2"]
    return family + ["vgg-16", *resnet.SPECS, *inception.SPECS]


def classification_symbol(label, options: Optional[SymbolOptions] = None):
    """A classification network.

    Parameters
    ----------
    label : str or Label
        For instance "ilsvrc-cls_rna-a1_cls1000".

    Returns
    -------
    Symbol
        Output `softmax_output` (N, classes); inputs `data` (N, 3, H, W) and `softmax_label` (N,), float32.
    """
    label = _as_label(label)
    scope, net = Scope(options or SymbolOptions()), network(label.network)
    features = _features(scope, net, net.features, label.stride)
    return losses.softmax(net.classifier(scope, features, label.classes))


def segmentation_symbol(label, options: Optional[SymbolOptions] = None, head="2conv", loss="ohem"):
    """A fully convolutional segmentation network (paper section 5).

    Parameters
    ----------
    label : str or Label
        For instance "voc_rna-a1_cls21_s8".
    head : {"2conv", "1conv"}
        Layers behind the features.
    loss : {"ohem", "softmax"}
        Online bootstrapping, or every cell that is not labelled 255.

    Returns
    -------
    Symbol
        Output `softmax_output` (N, classes, H / stride, W / stride); inputs `data` (N, 3, H, W) and `softmax_label`
        (N, cells), cells in row order, float32.
    """
    label = _as_label(label)
    if loss not in SEGMENTATION_LOSSES:
        raise ValueError(f"loss is {loss!r}; known are {', '.join(SEGMENTATION_LOSSES)}")
    scope, net = Scope(options or SymbolOptions(), dropout=True), network(label.network)
    if not net.dense_features:
        raise ValueError(f"{net.name} only classifies; for segmentation there are {', '.join(_dense_networks())}")
    features = _features(scope, net, net.dense_features, label.stride)
    scores = heads.segmentation_head(scope, features, label.classes, head)
    return losses.ohem_softmax(scores) if loss == "ohem" else losses.softmax(scores, dense=True)


def output_stride(label):
    """Input pixels per cell of a label's network (int); ValueError for a stride that it cannot have."""
    label = _as_label(label)
    net = network(label.network)
    stride = net.native_stride if label.stride is None else label.stride
    if stride not in net.strides:
        raise ValueError(f"{net.name} cannot have stride {stride}; it has {', '.join(map(str, net.strides))}")
    return stride


def _features(scope, net, build, stride):
    """The network's feature maps, by its `features` or `dense_features`; of both scales where it has two."""
    scope.width = net.width
    stride = output_stride(Label("any", net.name, 1, stride))
    data = mx.sym.Variable("data")
    full = build(scope, data, stride)
    if not net.two_scales:
        return full
    scope.prefix = "half_"
    half_data = mx.sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="avg", name="half_data")
    half = mx.sym.contrib.BilinearResize2D(build(scope, half_data, stride), full, mode="like", name="half_enlarged")
    scope.prefix = ""
    return concat(scope, [full, half], "two_scales")


def _dense_networks():
    return [name for name in known_networks() if network(name).dense_features]


def _base_network(name):
    """The `Network` of a name without suffixes, or None."""
    family, _, rest = name.partition("-")
    if family == "rna":
        spec = parse_rna(rest)
        return spec and _dilatable(name, partial(rna_features, spec=spec),
                                   InputSettings(spec.crop, TEST_CROPS[spec.crop]), spec.native_stride, spec.depth)
    if name == "vgg-16":
        return replace(_dilatable(name, vgg.vgg_features, replace(IMAGENET, test_crop=224), vgg.NATIVE_STRIDE,
                                  vgg.DEPTH), dense_features=vgg.dense_vgg_features, classifier=vgg.vgg_classifier)
    if name in resnet.SPECS:
        spec = resnet.SPECS[name]
        features = partial(resnet.resnet_features, spec=spec)
        if spec.cifar:
            return Network(name, features, CIFAR, spec.native_stride, (spec.native_stride,), spec.depth)
        return _dilatable(name, features, IMAGENET, spec.native_stride, spec.depth)
    if name in inception.SPECS:
        spec, stride = inception.SPECS[name], inception.NATIVE_STRIDE
        return Network(name, partial(inception.inception_features, spec=spec), INCEPTION, stride, (stride,),
                       spec.depth, inception.inception_classifier)
    return None


def _dilatable(name, features, settings, native_stride, depth):
    """A network with the same features for classification and segmentation, and dilation for smaller strides."""
    strides = tuple(sorted({stride for stride in DILATED_STRIDES if stride < native_stride} | {native_stride}))
    return Network(name, features, settings, native_stride, strides, depth, dense_features=features)


def _as_label(label):
    return label if isinstance(label, Label) else parse_label(label)
