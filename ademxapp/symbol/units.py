"""Residual units: version 1, post-activation, and version 2, full pre-activation.

He et al. 2016, "Deep Residual Learning for Image Recognition" and "Identity Mappings in Deep Residual Networks".
"""
from dataclasses import dataclass
from typing import List, Tuple

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.recorder import Symbol


@dataclass(frozen=True)
class UnitShape:
    """Channels and kernels of a unit's convolutions, in order, and the dropout before the last."""

    channels: Tuple[int, ...]
    kernels: Tuple[int, ...]
    dropout: float = 0.0


def unit_names(level: int, count: int, lettered: bool = False) -> List[str]:
    """Names of a level's units: 2a, 2b1, 2b2, … or, lettered, 2a, 2b, 2c, …"""
    rest = [chr(ord("b") + i) if lettered else f"b{i + 1}" for i in range(count - 1)]
    return [f"{level}{unit}" for unit in ["a"] + rest]


def branch_names(count: int) -> List[str]:
    """Names of a pre-activation unit's convolutions: branch2a, branch2b1, branch2b2, …"""
    return ["branch2a"] + [f"branch2b{i}" for i in range(1, count)]


def preactivation_unit(scope: Scope, data: Symbol, name: str, shape: UnitShape, project: bool = False, stride: int = 1,
                       dilations: Tuple[int, int] = (1, 1), activated: bool = False,
                       after_convolution: bool = False) -> Symbol:
    """One pre-activation unit: the mapping (BN, ReLU, convolution, …) plus its shortcut.

    Parameters
    ----------
    project : bool
        Shortcut by a 1x1 convolution `branch1` from the activated input; else the identity.
    stride : int
        Of the first convolution and of the projection.
    dilations : (int, int)
        Of the first convolution and of those after it.
    activated : bool
        The input is activated already; the mapping starts with its first convolution.
    after_convolution : bool
        The input is the output of a convolution. In testing on CPUs, MXNet 1.9.1 fuses an `elemwise_add` with one of
        its operands that is a convolution, and where both are, computes another sum, or does not bind.
    """
    convolutions = list(zip(branch_names(len(shape.channels)), shape.channels, shape.kernels))
    shortcut, out = data, data
    for i, (branch, channels, kernel) in enumerate(convolutions):
        if i > 0 or not activated:
            out = layers.bn_relu(scope, out, f"{name}_{branch}")
        if i == 0 and project:
            shortcut = layers.conv(scope, out, f"res{name}_branch1", scope.channels(shape.channels[-1]), 1, stride)
        if i == len(convolutions) - 1:
            out = layers.dropout(scope, out, f"drop{name}_{branch}", shape.dropout)
        out = layers.conv(scope, out, f"res{name}_{branch}", scope.channels(channels), kernel,
                          stride if i == 0 else 1, dilations[0 if i == 0 else 1])
    out, shortcut = layers.path_gates(scope, name, out, shortcut)
    if after_convolution:
        return scope.sym.add_n(out, shortcut, name=f"{scope.prefix}sum{name}")
    operands = (shortcut, out) if project else (out, shortcut)
    return scope.sym.elemwise_add(*operands, name=f"{scope.prefix}sum{name}")


def postactivation_unit(scope: Scope, data: Symbol, name: str, shape: UnitShape, shortcut: str = "identity",
                        stride: int = 1, dilations: Tuple[int, int] = (1, 1)) -> Symbol:
    """One unit of version 1: ReLU of the mapping (convolution, BN, ReLU, …, BN) plus its shortcut.

    Parameters
    ----------
    shortcut : {"identity", "project", "pad"}
        The input itself; a 1x1 convolution `branch1` and BN of it; its every `stride`-th cell, with zeros as the
        channels that it lacks.
    stride, dilations
        As in `preactivation_unit`.
    """
    out, last = data, len(shape.channels) - 1
    for i, (channels, kernel) in enumerate(zip(shape.channels, shape.kernels)):
        branch = f"{name}_branch2{chr(ord('a') + i)}"
        if i == last:
            out = layers.dropout(scope, out, f"drop{branch}", shape.dropout)
        out = layers.conv(scope, out, f"res{branch}", scope.channels(channels), kernel, stride if i == 0 else 1,
                          dilations[0 if i == 0 else 1])
        out = layers.bn(scope, out, f"bn{branch}")
        if i < last:
            out = layers.relu(scope, out, f"relu{branch}")
    beside = _shortcut(scope, data, name, scope.channels(shape.channels[-1]), shortcut, stride)
    out, beside = layers.path_gates(scope, name, out, beside)
    return layers.relu(scope, scope.sym.elemwise_add(out, beside, name=f"{scope.prefix}sum{name}"), f"relu{name}")


def _shortcut(scope: Scope, data: Symbol, name: str, channels: int, kind: str, stride: int) -> Symbol:
    if kind == "project":
        return layers.bn(scope, layers.conv(scope, data, f"res{name}_branch1", channels, 1, stride),
                         f"bn{name}_branch1")
    if kind == "pad":
        cells = layers.pool(scope, data, f"pool{name}", "max", kernel=1, stride=stride)
        zeros = scope.sym.zeros_like(cells)  # two of them are enough: a level has at most twice the channels, rounded
        return scope.sym.slice_axis(scope.sym.concat(cells, zeros, zeros, dim=1), axis=1, begin=0, end=channels)
    return data
