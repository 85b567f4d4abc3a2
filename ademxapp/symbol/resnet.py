"""Residual networks that the paper compares with: versions 1 and 2 for ImageNet, version 1 for CIFAR.

Version 1 is He et al. 2016, "Deep Residual Learning for Image Recognition", Table 1 and section 4.2, with the names of
its release for Caffe; version 2 is "Identity Mappings in Deep Residual Networks". Where maps are halved, a unit's
first convolution has the stride.
"""
from dataclasses import dataclass
from functools import partial
from typing import Optional, Tuple

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.networks import IMAGENET, InputSettings, Network, dilatable, single_stride
from ademxapp.symbol.recorder import Symbol
from ademxapp.symbol.units import UnitShape, postactivation_unit, preactivation_unit, unit_names

# Levels 2 to 5. Dropout before the last convolution of the last three units, in fine-tuning (paper section 5).
BOTTLENECKS = (UnitShape((64, 64, 256), (1, 3, 1)), UnitShape((128, 128, 512), (1, 3, 1)),
               UnitShape((256, 256, 1024), (1, 3, 1)), UnitShape((512, 512, 2048), (1, 3, 1), dropout=0.3))
CIFAR = InputSettings(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CIFAR_PAIRS = (UnitShape((16, 16), (3, 3)), UnitShape((32, 32), (3, 3)), UnitShape((64, 64), (3, 3)))


@dataclass(frozen=True)
class ResNetSpec:
    """A residual network.

    Attributes
    ----------
    units : tuple of int
        On levels 2, 3, ….
    shapes : tuple of UnitShape
        Of the levels' units.
    lettered : tuple of int
        Levels whose units are named a, b, c, …; those of the others are a, b1, b2, ….
    preactivation : bool
        Version 2.
    cifar : bool
        Starts with a 3x3 convolution instead of a strided 7x7 one and pooling; shortcuts have no parameters.
    """

    units: Tuple[int, ...]
    shapes: Tuple[UnitShape, ...] = BOTTLENECKS
    lettered: Tuple[int, ...] = ()
    preactivation: bool = False
    cifar: bool = False

    @property
    def stem_stride(self) -> int:
        """Input pixels per cell of the first level's maps."""
        return 1 if self.cifar else 4

    @property
    def native_stride(self) -> int:
        """Input pixels per cell of the last maps, without dilation."""
        return self.stem_stride * 2 ** (len(self.units) - 1)

    @property
    def depth(self) -> int:
        """Layers on the longest path: the convolutions of all units, the first, and the classifier."""
        return 2 + sum(count * len(shape.channels) for count, shape in zip(self.units, self.shapes))


SPECS = {
    "rn-50": ResNetSpec((3, 4, 6, 3), lettered=(2, 3, 4, 5)),
    "rn-101": ResNetSpec((3, 4, 23, 3), lettered=(2, 5)),
    "rn-152": ResNetSpec((3, 8, 36, 3), lettered=(2, 5)),
    "rnp-152": ResNetSpec((3, 8, 36, 3), preactivation=True),
    "rnp-200": ResNetSpec((3, 24, 36, 3), preactivation=True),
    "rn-cifar110": ResNetSpec((18, 18, 18), CIFAR_PAIRS, cifar=True),
}
NAMES = tuple(SPECS)


def build(name: str) -> Optional[Network]:
    """The network of the name; None of another name."""
    if name not in SPECS:
        return None
    spec = SPECS[name]
    features = partial(resnet_features, spec=spec)
    if spec.cifar:
        return single_stride(name, features, CIFAR, spec.native_stride, spec.depth)
    return dilatable(name, features, IMAGENET, spec.native_stride, spec.depth)


def resnet_features(scope: Scope, data: Symbol, stride: int, spec: ResNetSpec) -> Symbol:
    """The last feature maps, (N, channels of the last level x width, H / stride, W / stride)."""
    out = _stem(scope, data, spec)
    resolution = layers.Resolution(stride, reached=spec.stem_stride)
    for level, (count, shape) in enumerate(zip(spec.units, spec.shapes), start=2):
        first_stride, first_dilation = resolution.halve() if level > 2 else (1, resolution.dilation)
        for i, name in enumerate(unit_names(level, count, level in spec.lettered)):
            dilations = (resolution.dilation if i else first_dilation, resolution.dilation)
            out = _unit(scope, out, spec, name, shape, i == 0, 1 if i else first_stride, dilations)
    if spec.preactivation:
        return layers.bn_relu(scope, out, str(len(spec.units) + 1))
    return out


def _stem(scope: Scope, data: Symbol, spec: ResNetSpec) -> Symbol:
    if spec.cifar:
        out = layers.conv(scope, data, "conv1", scope.channels(16))
    else:
        out = layers.conv(scope, data, "conv1", scope.channels(64), kernel=7, stride=2)
    out = layers.relu(scope, layers.bn(scope, out, "bn_conv1"), "relu_conv1")
    return out if spec.cifar else layers.max_pool(scope, out, "pool1")


def _unit(scope: Scope, data: Symbol, spec: ResNetSpec, name: str, shape: UnitShape, first: bool, stride: int,
          dilations: Tuple[int, int]) -> Symbol:
    """One unit. Of version 2, the very first maps are activated before the pooling, not again in the unit."""
    if spec.preactivation:
        return preactivation_unit(scope, data, name, shape, first, stride, dilations, activated=name == "2a")
    widens = first and not (spec.cifar and name == "2a")
    shortcut = ("pad" if spec.cifar else "project") if widens else "identity"
    return postactivation_unit(scope, data, name, shape, shortcut, stride, dilations)
