"""Inception-v4 and Inception-ResNet-v2: Szegedy et al. 2017, "Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning".

A network is a list of blocks from the image on; a block is written as its branches, side by side, as the paper's
figures draw them. A branch is a sequence of layers: "3x3/2 96 V" is a 3x3 convolution of stride 2 with 96 channels and
no padding ("valid"), BN and ReLU; "max/2 V" and "avg" pool 3x3 cells; "1x3 256 + 3x1 256" is a fork, its ends
concatenated.

The released Inception-ResNet-v2, with its 55.84 million parameters, is built here. The paper's figures draw a smaller
one: the stem of Inception-v4, 5, 10 and 5 units instead of 10, 20 and 10, and no last convolution. The depth of 96 that
Table 1 of "Wider or Deeper" has is that of the figures; the longest path of the released network has 176 layers.
"""
import re
from dataclasses import dataclass
from functools import partial
from string import ascii_lowercase
from typing import List, Sequence, Tuple

from ademxapp.symbol import heads, layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.options import InputSettings, Network
from ademxapp.symbol.recorder import Symbol

Wide = Tuple[Symbol, int]  # maps, and their channels


@dataclass(frozen=True)
class Block:
    """`count` equal blocks in a row.

    With a `scale` they are residual: a 1x1 convolution brings the concatenated branches to the input's channels, and
    the input plus `scale` times that goes through a ReLU, unless the block is `linear`.
    """

    name: str
    branches: Tuple[str, ...]
    count: int = 1
    scale: float = 0.0
    linear: bool = False


V4 = (
    Block("stem1", ("3x3/2 32 V, 3x3 32 V, 3x3 64",)),
    Block("stem2", ("max/2 V", "3x3/2 96 V")),
    Block("stem3", ("1x1 64, 3x3 96 V", "1x1 64, 7x1 64, 1x7 64, 3x3 96 V")),
    Block("stem4", ("3x3/2 192 V", "max/2 V")),
    Block("a", ("avg, 1x1 96", "1x1 96", "1x1 64, 3x3 96", "1x1 64, 3x3 96, 3x3 96"), 4),
    Block("reduction_a", ("max/2 V", "3x3/2 384 V", "1x1 192, 3x3 224, 3x3/2 256 V")),
    Block("b", ("avg, 1x1 128", "1x1 384", "1x1 192, 1x7 224, 7x1 256",
                "1x1 192, 1x7 192, 7x1 224, 1x7 224, 7x1 256"), 7),
    Block("reduction_b", ("max/2 V", "1x1 192, 3x3/2 192 V", "1x1 256, 1x7 256, 7x1 320, 3x3/2 320 V")),
    Block("c", ("avg, 1x1 256", "1x1 256", "1x1 384, 1x3 256 + 3x1 256",
                "1x1 384, 1x3 448, 3x1 512, 3x1 256 + 1x3 256"), 3),
)
RESNET_V2 = (
    Block("stem", ("3x3/2 32 V, 3x3 32 V, 3x3 64, max/2 V, 1x1 80, 3x3 192 V, max/2 V",)),
    Block("mixed", ("1x1 96", "1x1 48, 5x5 64", "1x1 64, 3x3 96, 3x3 96", "avg, 1x1 64")),
    Block("a", ("1x1 32", "1x1 32, 3x3 32", "1x1 32, 3x3 48, 3x3 64"), 10, scale=0.17),
    Block("reduction_a", ("3x3/2 384 V", "1x1 256, 3x3 256, 3x3/2 384 V", "max/2 V")),
    Block("b", ("1x1 192", "1x1 128, 1x7 160, 7x1 192"), 20, scale=0.1),
    Block("reduction_b", ("1x1 256, 3x3/2 384 V", "1x1 256, 3x3/2 288 V", "1x1 256, 3x3 288, 3x3/2 320 V", "max/2 V")),
    Block("c", ("1x1 192", "1x1 192, 1x3 224, 3x1 256"), 9, scale=0.2),
    Block("c10", ("1x1 192", "1x1 192, 1x3 224, 3x1 256"), scale=1.0, linear=True),
    Block("last", ("1x1 1536",)),
)


def inception_features(scope: Scope, data: Symbol, stride: int, blocks: Sequence[Block]) -> Symbol:
    """The last feature maps, (N, 1536 x width, 8, 8) for 299x299 pixels; `stride` can be 32 only."""
    out, channels = data, 3
    for block in blocks:
        for i in range(block.count):
            name = f"{block.name}{i + 1}" if block.count > 1 else block.name
            out, channels = _block(scope, out, channels, name, block)
    return out


def _block(scope: Scope, data: Symbol, channels: int, name: str, block: Block) -> Wide:
    ends = [_branch(scope, data, channels, f"{name}_branch{i}", branch)
            for i, branch in enumerate(block.branches, start=1)]
    out, width = _concat(scope, ends, f"concat_{name}")
    if not block.scale:
        return out, width
    mapping = layers.conv(scope, out, f"conv_{name}_up", channels, 1, bias=True)
    mapping, shortcut = layers.path_gates(scope, name, mapping * block.scale, data)
    out = scope.sym.elemwise_add(shortcut, mapping, name=f"{scope.prefix}sum_{name}")
    return (out if block.linear else layers.relu(scope, out, f"relu_{name}")), channels


def _branch(scope: Scope, data: Symbol, channels: int, name: str, branch: str) -> Wide:
    """The branch's layers get letters; the ends of a fork get a letter and a number."""
    out = data
    for letter, step in zip(ascii_lowercase, branch.split(", ")):
        fork = step.split(" + ")
        ends = [_layer(scope, out, channels, f"{name}{letter}{i if len(fork) > 1 else ''}", text)
                for i, text in enumerate(fork, start=1)]
        out, channels = _concat(scope, ends, f"concat_{name}{letter}")
    return out, channels


def _layer(scope: Scope, data: Symbol, channels: int, name: str, text: str) -> Wide:
    found = re.fullmatch(r"(?:(max|avg)|(\d)x(\d))(/2)?(?: (\d+))?( V)?", text)
    assert found is not None, text
    pooling, rows, columns, halves, count, valid = found.groups()
    stride = 2 if halves else 1
    if pooling:
        return layers.pool(scope, data, f"pool_{name}", pooling, 3, stride, pad=0 if valid else 1), channels
    channels = scope.channels(int(count))
    out = layers.conv(scope, data, f"conv_{name}", channels, (int(rows), int(columns)), stride, padded=not valid)
    return layers.relu(scope, layers.bn(scope, out, f"bn_{name}", eps=1e-3), f"relu_{name}"), channels


def _concat(scope: Scope, ends: List[Wide], name: str) -> Wide:
    """Several (symbol, channels) as one."""
    if len(ends) == 1:
        return ends[0]
    parts, counts = zip(*ends)
    aligned = all(count % layers.ONEDNN_BLOCK == 0 for count in counts)
    return layers.concat(scope, parts, name, aligned), sum(counts)


# The depths of Table 1.
NETWORKS = {name: Network(partial(inception_features, blocks=blocks),
                          InputSettings(299, 299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"), native_stride=32,
                          depth=depth, classifier=partial(heads.classifier, pool="pool_last", dropout=0.2))
            for name, blocks, depth in (("inception-v4", V4, 76), ("inception-resnet-v2", RESNET_V2, 96))}
