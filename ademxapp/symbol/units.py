"""Residual units, version 2: full pre-activation (He et al. 2016, "Identity Mappings in Deep Residual Networks")."""
from dataclasses import dataclass
from typing import Tuple

from ademxapp.backend import mx
from ademxapp.symbol import layers


@dataclass(frozen=True)
class UnitShape:
    """Channels and kernels of a unit's convolutions, in order, and the dropout before the last."""

    channels: Tuple[int, ...]
    kernels: Tuple[int, ...]
    dropout: float = 0.0


def branch_names(count):
    """Names of a unit's convolutions: branch2a, branch2b1, branch2b2, …"""
    return ["branch2a"] + [f"branch2b{i}" for i in range(1, count)]


def preactivation_unit(scope, data, name, shape, project=False, stride=1, dilations=(1, 1)):
    """One pre-activation unit: the mapping (BN, ReLU, convolution, …) plus its shortcut.

    Parameters
    ----------
    project : bool
        Shortcut by a 1x1 convolution `branch1` from the activated input; else the identity.
    stride : int
        Of the first convolution and of the projection.
    dilations : (int, int)
        Of the first convolution and of those after it.
    """
    convolutions = list(zip(branch_names(len(shape.channels)), shape.channels, shape.kernels))
    shortcut, out = data, data
    for i, (branch, channels, kernel) in enumerate(convolutions):
        out = layers.bn_relu(scope, out, f"{name}_{branch}")
        if i == 0 and project:
            shortcut = layers.conv(scope, out, f"res{name}_branch1", scope.channels(shape.channels[-1]), 1, stride)
        if i == len(convolutions) - 1:
            out = layers.dropout(scope, out, f"drop{name}_{branch}", shape.dropout)
        out = layers.conv(scope, out, f"res{name}_{branch}", scope.channels(channels), kernel,
                          stride if i == 0 else 1, dilations[0 if i == 0 else 1])
    # oneDNN fuses a sum with its first operand that is a convolution. That must not be the shortcut where the mapping
    # starts from it (conv1a before B1): MXNet 1.9.1 then fails to bind for testing.
    operands = (shortcut, out) if project else (out, shortcut)
    return mx.sym.elemwise_add(*operands, name=f"{scope.prefix}sum{name}")
