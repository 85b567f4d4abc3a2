"""Residual units: version 1, post-activation, and version 2, full pre-activation.

He et al. 2016, "Deep Residual Learning for Image Recognition" and "Identity Mappings in Deep Residual Networks".
"""
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Tuple

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.recorder import Symbol


@dataclass(frozen=True)
class UnitShape:
    """Channels and kernels of a unit's convolutions, in order, and the dropout before the last."""

    channels: Tuple[int, ...]
    kernels: Tuple[int, ...]
    dropout: float = 0.0


def preactivation_unit(scope: Scope, data: Symbol, name: str, shape: UnitShape, project: bool = False, stride: int = 1,
                       dilations: Tuple[int, int] = (1, 1), activated: bool = False,
                       after_convolution: bool = False) -> Symbol:
    """One pre-activation unit: the mapping (BN, ReLU, convolution, …) plus its shortcut.

    The shortcut is the input or, to `project`, a 1x1 convolution `branch1` of the activated input. The first
    convolution and the projection have the `stride`; `dilations` are of the first convolution and of those after it.
    Of an input that is `activated` already, the mapping starts with its first convolution. `after_convolution` says
    that the input is the output of one: in testing on CPUs, MXNet 1.9.1 fuses an `elemwise_add` with one of its
    operands that is a convolution, and where both are, computes another sum, or does not bind.
    """
    shortcut, out, last = data, data, len(shape.channels) - 1
    for i, (channels, kernel) in enumerate(zip(shape.channels, shape.kernels)):
        branch = f"{name}_branch2{f'b{i}' if i else 'a'}"
        if i > 0 or not activated:
            out = layers.bn_relu(scope, out, branch)
        if i == 0 and project:
            shortcut = layers.conv(scope, out, f"res{name}_branch1", scope.channels(shape.channels[-1]), 1, stride)
        if i == last:
            out = layers.dropout(scope, out, f"drop{branch}", shape.dropout)
        out = layers.conv(scope, out, f"res{branch}", scope.channels(channels), kernel, stride if i == 0 else 1,
                          dilations[min(i, 1)])
    out, shortcut = layers.path_gates(scope, name, out, shortcut)
    add = scope.sym.add_n if after_convolution else scope.sym.elemwise_add
    operands = (shortcut, out) if project and not after_convolution else (out, shortcut)
    return add(*operands, name=f"{scope.prefix}sum{name}")


def postactivation_unit(scope: Scope, data: Symbol, name: str, shape: UnitShape, shortcut: str = "identity",
                        stride: int = 1, dilations: Tuple[int, int] = (1, 1)) -> Symbol:
    """One unit of version 1: ReLU of the mapping (convolution, BN, ReLU, …, BN) plus its shortcut.

    The shortcut is, as "identity", the input itself; "project", a 1x1 convolution `branch1` and BN of it; "pad", its
    every `stride`-th cell, with zeros as the channels that it lacks. The rest is as in `preactivation_unit`.
    """
    out, beside, last = data, data, len(shape.channels) - 1
    for i, (channels, kernel) in enumerate(zip(shape.channels, shape.kernels)):
        branch = f"{name}_branch2{ascii_lowercase[i]}"
        if i == last:
            out = layers.dropout(scope, out, f"drop{branch}", shape.dropout)
        out = layers.conv(scope, out, f"res{branch}", scope.channels(channels), kernel, stride if i == 0 else 1,
                          dilations[min(i, 1)])
        out = layers.bn(scope, out, f"bn{branch}")
        if i < last:
            out = layers.relu(scope, out, f"relu{branch}")
    wide = scope.channels(shape.channels[-1])
    if shortcut == "project":
        beside = layers.conv(scope, data, f"res{name}_branch1", wide, 1, stride)
        beside = layers.bn(scope, beside, f"bn{name}_branch1")
    elif shortcut == "pad":
        cells = layers.pool(scope, data, f"pool{name}", "max", kernel=1, stride=stride)
        zeros = scope.sym.zeros_like(cells)  # two of them are enough: a level has at most twice the channels, rounded
        beside = scope.sym.slice_axis(scope.sym.concat(cells, zeros, zeros, dim=1), axis=1, begin=0, end=wide)
    out, beside = layers.path_gates(scope, name, out, beside)
    return layers.relu(scope, scope.sym.elemwise_add(out, beside, name=f"{scope.prefix}sum{name}"), f"relu{name}")
