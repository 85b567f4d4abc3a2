"""The networks of the paper (section 4, Figure 3, Table 1), from one table.

A network is written as the paper writes it: the training crop, then the number of residual units on each of the
levels B1 to B7. Its last maps are 7x7 at the training crop, so the crop says how often the maps are halved:
five times for 224, four for 112, three for 56, before B2, B3, … in turn.
"""
import re
from dataclasses import dataclass
from functools import partial
from typing import Optional, Tuple

from ademxapp.symbol import layers
from ademxapp.symbol.layers import Scope
from ademxapp.symbol.networks import InputSettings, Network, dilatable
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
HALVINGS = {224: 5, 112: 4, 56: 3}
TEST_CROPS = {224: 320, 112: 160, 56: 80}
NAMES = tuple(f"rna-{letter}{form}" for letter in NOTATIONS for form in ("", "1")) + ("rna-a2",)
_NOTATION = re.compile(r"(224|112|56)((?:-\d{1,3}){7})(-c)?")


@dataclass(frozen=True)
class RnaSpec:
    """A network of the family: training crop (pixels), units of B1 … B7, and how its maps are halved."""

    crop: int
    units: Tuple[int, ...]
    strided: bool

    @property
    def native_stride(self) -> int:
        """Input pixels per cell of the last maps, without dilation."""
        return 2 ** HALVINGS[self.crop]

    @property
    def depth(self) -> int:
        """Layers as Table 1 counts them: two in a unit of B1 … B5, three in B6 and B7, the first and the last."""
        return 2 * sum(self.units[:5]) + 3 * sum(self.units[5:]) + 2


def build(name: str) -> Optional[Network]:
    """The network `rna-<letter>` or `rna-<notation>`; None of another name."""
    family, _, rest = name.partition("-")
    spec = parse_rna(rest) if family == "rna" else None
    return dilatable(name, partial(rna_features, spec=spec), InputSettings(spec.crop, TEST_CROPS[spec.crop]),
                     spec.native_stride, spec.depth) if spec else None


def parse_rna(name: str) -> Optional[RnaSpec]:
    """The `RnaSpec` of `a`, `a1`, `a2`, `b`, …, or of the paper's notation with or without `-c`; else None."""
    letter = re.fullmatch(r"([a-f])(1?)|(a)2", name)
    if letter:
        notation, strided = NOTATIONS[name[0]], len(name) == 2
    else:
        notation, strided = name, name.endswith("-c")
    found = _NOTATION.fullmatch(notation)
    if not found:
        return None
    units = tuple(int(count) for count in found.group(2)[1:].split("-"))
    if min(units[1:]) < 1:
        raise ValueError(f"rna-{name}: levels B2 to B7 need at least one unit each, got {units[1:]}")
    return RnaSpec(int(found.group(1)), units, strided)


def rna_features(scope: Scope, data: Symbol, stride: int, spec: RnaSpec) -> Symbol:
    """The features `relu7` of a network, (N, 4096 x width, H / stride, W / stride); `stride` as asked."""
    out = layers.conv(scope, data, "conv1a", scope.channels(64))
    resolution = layers.Resolution(stride)
    for level, shape in LEVELS.items():
        first_stride, first_dilation = 1, resolution.dilation
        if 2 <= level < 2 + HALVINGS[spec.crop]:
            step, dilation = resolution.halve()
            if spec.strided:
                first_stride = step
            else:
                out = layers.max_pool(scope, out, f"pool{level - 1}", step, dilation)
                first_dilation = resolution.dilation
        for i in range(spec.units[level - 1]):
            first = i == 0 and level > 1
            name = f"{level}a" if first else f"{level}b{i + 1 if level == 1 else i}"
            dilations = (first_dilation if i == 0 else resolution.dilation, resolution.dilation)
            out = preactivation_unit(scope, out, name, shape, first, first_stride if first else 1, dilations,
                                     after_convolution=level == 1 and i == 0)
    return layers.bn_relu(scope, out, "7")
