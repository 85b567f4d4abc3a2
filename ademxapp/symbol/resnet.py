"""Residual networks that the paper compares with: versions 1 and 2 for ImageNet, version 1 for CIFAR.

Version 1 is He et al. 2016, "Deep Residual Learning for Image Recognition", Table 1 and section 4.2, with the names of
its release for Caffe; version 2 is "Identity Mappings in Deep Residual Networks". Where maps are halved, a unit's
first convolution has the stride.
"""
from string import ascii_lowercase
from typing import Tuple

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.options import IMAGENET, InputSettings, Network
from ademxapp.symbol.recorder import Symbol
from ademxapp.symbol.units import UnitShape, postactivation_unit, preactivation_unit

# Levels 2 to 5. Dropout before the last convolution of the last three units, in fine-tuning (paper section 5).
BOTTLENECKS = (UnitShape((64, 64, 256), (1, 3, 1)), UnitShape((128, 128, 512), (1, 3, 1)),
               UnitShape((256, 256, 1024), (1, 3, 1)), UnitShape((512, 512, 2048), (1, 3, 1), dropout=0.3))
CIFAR = InputSettings(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CIFAR_PAIRS = (UnitShape((16, 16), (3, 3)), UnitShape((32, 32), (3, 3)), UnitShape((64, 64), (3, 3)))


def resnet(units: Tuple[int, ...], shapes: Tuple[UnitShape, ...] = BOTTLENECKS, lettered: Tuple[int, ...] = (),
           preactivation: bool = False, cifar: bool = False) -> Network:
    """A residual network of so many `units` of these `shapes` on the levels 2, 3, …

    The units of the `lettered` levels are named a, b, c, …; those of the others a, b1, b2, …. Version 2 has
    `preactivation`. A `cifar` network starts with a 3x3 convolution instead of a strided 7x7 one and pooling, and its
    shortcuts have no parameters.
    """
    stem_stride = 1 if cifar else 4  # input pixels per cell of the first level's maps

    def unit(scope: Scope, data: Symbol, name: str, shape: UnitShape, first: bool, stride: int,
             dilations: Tuple[int, int]) -> Symbol:
        if preactivation:  # the very first maps are activated before the pooling, not again in the unit
            return preactivation_unit(scope, data, name, shape, first, stride, dilations, activated=name == "2a")
        widens = first and not (cifar and name == "2a")
        shortcut = ("pad" if cifar else "project") if widens else "identity"
        return postactivation_unit(scope, data, name, shape, shortcut, stride, dilations)

    def features(scope: Scope, data: Symbol, stride: int) -> Symbol:
        """The last feature maps, (N, channels of the last level x width, H / stride, W / stride)."""
        channels, kernel, step = (16, 3, 1) if cifar else (64, 7, 2)
        out = layers.conv(scope, data, "conv1", scope.channels(channels), kernel, step)
        out = layers.relu(scope, layers.bn(scope, out, "bn_conv1"), "relu_conv1")
        out = out if cifar else layers.max_pool(scope, out, "pool1")
        resolution = layers.Resolution(stride, reached=stem_stride)
        for level, (count, shape) in enumerate(zip(units, shapes), start=2):
            first_stride, first_dilation = resolution.halve() if level > 2 else (1, resolution.dilation)
            for i in range(count):
                name = f"{level}{ascii_lowercase[i]}" if i == 0 or level in lettered else f"{level}b{i}"
                dilations = (resolution.dilation if i else first_dilation, resolution.dilation)
                out = unit(scope, out, name, shape, i == 0, 1 if i else first_stride, dilations)
        return layers.bn_relu(scope, out, str(len(units) + 1)) if preactivation else out

    depth = 2 + sum(count * len(shape.channels) for count, shape in zip(units, shapes))
    return Network(features, CIFAR if cifar else IMAGENET, stem_stride * 2 ** (len(units) - 1), depth,
                   dense_features=None if cifar else features)


NETWORKS = {
    "rn-50": resnet((3, 4, 6, 3), lettered=(2, 3, 4, 5)),
    "rn-101": resnet((3, 4, 23, 3), lettered=(2, 5)),
    "rn-152": resnet((3, 8, 36, 3), lettered=(2, 5)),
    "rnp-152": resnet((3, 8, 36, 3), preactivation=True),
    "rnp-200": resnet((3, 24, 36, 3), preactivation=True),
    "rn-cifar110": resnet((18, 18, 18), CIFAR_PAIRS, cifar=True),
}
