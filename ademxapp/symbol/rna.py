"""The networks of the paper (section 4, Figure 3, Table 1), from one table.

A network is written as the paper writes it: the training crop, then the number of residual units on each of the
levels B1 to B7. Its last maps are 7x7 at the training crop, so the crop says how often the maps are halved:
five times for 224, four for 112, three for 56, before B2, B3, … in turn.
"""
import re
from functools import partial
from typing import Optional, Sequence

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.options import InputSettings, Network
from ademxapp.symbol.recorder import Symbol
from ademxapp.symbol.units import UnitShape, preactivation_unit

NOTATIONS = {
    "a": "224-0-3-3-6-3-1-1",
    "b": "224-0-1-1-1-3-1-1",
    "c": "112-1-1-1-1-13-1-1",
    "d": "112-1-1-1-1-9-1-1",
    "e": "112-1-1-1-1-5-1-1",
    "f": "56-1-1-1-1-9-1-1",
}
LEVELS = {
    1: UnitShape((64, 64), (3, 3)),
    2: UnitShape((128, 128), (3, 3)),
    3: UnitShape((256, 256), (3, 3)),
    4: UnitShape((512, 512), (3, 3)),
    5: UnitShape((512, 1024), (3, 3)),
    6: UnitShape((512, 1024, 2048), (1, 3, 1), dropout=0.3),
    7: UnitShape((1024, 2048, 4096), (1, 3, 1), dropout=0.5),
}
CROPS = {224: (5, 320), 112: (4, 160), 56: (3, 80)}  # how often maps are halved, and the crop for testing


def rna(notation: str, strided: bool) -> Network:
    """The network that the paper would write so; its maps are halved by `strided` units, or by pooling before them."""
    crop, *units = map(int, notation.split("-"))
    if min(units[1:]) < 1:
        raise ValueError(f"rna-{notation}{'-c' if strided else ''}: levels B2 to B7 need at least one unit each, got "
                         f"{tuple(units[1:])}")
    halvings, test_crop = CROPS[crop]
    features = partial(rna_features, units=units, halvings=halvings, strided=strided)
    depth = 2 * sum(units[:5]) + 3 * sum(units[5:]) + 2  # two in a unit of B1 … B5, three in B6 and B7, first and last
    return Network(features, InputSettings(crop, test_crop), 2 ** halvings, depth, dense_features=features)


def in_notation(name: str) -> Optional[Network]:
    """The network `rna-<notation>`, strided with `-c` behind it; None of another name."""
    found = re.fullmatch(r"rna-((?:224|112|56)(?:-\d{1,3}){7})(-c)?", name)
    return rna(found[1], bool(found[2])) if found else None


def rna_features(scope: Scope, data: Symbol, stride: int, units: Sequence[int], halvings: int, strided: bool
                 ) -> Symbol:
    """The features `relu7` of a network, (N, 4096 x width, H / stride, W / stride); `stride` as asked."""
    out = layers.conv(scope, data, "conv1a", scope.channels(64))
    resolution = layers.Resolution(stride)
    for level, shape in LEVELS.items():
        first_stride, first_dilation = 1, resolution.dilation
        if 2 <= level < 2 + halvings:
            step, dilation = resolution.halve()
            if strided:
                first_stride = step
            else:
                out = layers.max_pool(scope, out, f"pool{level - 1}", step, dilation)
                first_dilation = resolution.dilation
        for i in range(units[level - 1]):
            first = i == 0 and level > 1
            name = f"{level}a" if first else f"{level}b{i + 1 if level == 1 else i}"
            dilations = (first_dilation if i == 0 else resolution.dilation, resolution.dilation)
            out = preactivation_unit(scope, out, name, shape, first, first_stride if first else 1, dilations,
                                     after_convolution=level == 1 and i == 0)
    return layers.bn_relu(scope, out, "7")


NETWORKS = {f"rna-{letter}{form}": rna(notation, strided=bool(form)) for letter, notation in NOTATIONS.items()
            for form in ("", "1")}
NETWORKS["rna-a2"] = NETWORKS["rna-a1"]  # tuned on Places
