"""Names of parameters in the PyTorch layout that weakly supervised segmentation uses for these networks.

PSA (AffinityNet), SEAM and what follows them (their `network/resnet38d.py`) name the parameters of Model A1 so:

    conv1a_weight                  conv1a.weight
    res2a_branch2a_weight          b2.conv_branch2a.weight        first unit of B2
    res2b1_branch2b1_weight        b2_1.conv_branch2b1.weight     the unit b1 of B2; B1 has b1_1, b1_2, …
    bn2a_branch2b1_gamma, _beta    b2.bn_branch2b1.weight, .bias
    …_moving_mean, _moving_var     ….running_mean, .running_var
    bn7_gamma                      bn7.weight
    linear1000_weight              linear1000.weight

They leave the classifier out when they load the released file, and call their own `fc8`; here it keeps its name, which
tells the number of classes. A layer outside of a unit keeps its name in both directions, so every network's parameters
have names in this layout. No number changes.
"""
import re
from typing import Any, Dict, Mapping, Optional, Set, Tuple

AUXILIARY = {"moving_mean": "running_mean", "moving_var": "running_var"}  # the statistics of batch normalisation
_BN = {"gamma": "weight", "beta": "bias", **AUXILIARY}
_PLAIN = {"weight": "weight", "bias": "bias"}
_UNIT = re.compile(r"(res|bn)(\d)(?:a|b(\d+))_(branch\w+)")
_TORCH_UNIT = re.compile(r"b(\d)(?:_(\d+))?\.(conv|bn)_(branch\w+)")
_KINDS = {"res": "conv", "bn": "bn"}
_COUNTER = "num_batches_tracked"  # PyTorch's, of no use here


def to_torch(weights: Mapping[str, Any]) -> Dict[str, Any]:
    """{name in the PyTorch layout: array} for {`arg:…` or `aux:…`: array}, in the same order.

    Raises
    ------
    ValueError
        For a name that no network of this family has.
    """
    return {_to_torch(key): array for key, array in weights.items()}


def from_torch(state: Mapping[str, Any]) -> Dict[str, Any]:
    """{`arg:…` or `aux:…`: array} for {name in the PyTorch layout: array}, in the same order.

    PyTorch's counters of batches are left out.
    """
    normalisations = {name.rpartition(".")[0] for name in state if name.endswith(".running_mean")}
    return {_from_torch(name, normalisations): array for name, array in state.items() if not name.endswith(_COUNTER)}


def _to_torch(key: str) -> str:
    kind, _, name = key.partition(":")
    layer, part = _split(name)
    if layer is None or part is None or (kind == "aux") != (part in AUXILIARY) or "." in name:
        raise ValueError(f"{key} has no name in the PyTorch layout")
    found = _UNIT.fullmatch(layer)
    if found:
        form, level, number, branch = found.groups()
        layer = f"b{level}{'_' + number if number else ''}.{_KINDS[form]}_{branch}"
    return f"{layer}.{ {**_PLAIN, **_BN}[part]}"


def _split(name: str) -> Tuple[Optional[str], Optional[str]]:
    """Layer and part of a parameter's name: ("bn7", "moving_mean"); (None, None) if it has no such end."""
    for part in (*_PLAIN, *_BN):
        if name.endswith("_" + part):
            return name[:-len(part) - 1], part
    return None, None


def _from_torch(name: str, normalisations: Set[str]) -> str:
    layer, _, end = name.rpartition(".")
    parts = _BN if layer in normalisations else _PLAIN
    part = next((mine for mine, torch in parts.items() if torch == end), None)
    found = _TORCH_UNIT.fullmatch(layer)
    if part is None or not layer or ("." in layer and not found):
        raise ValueError(f"{name} is no name of the PyTorch layout, such as b2.conv_branch2a.weight")
    if found:
        level, number, form, branch = found.groups()
        unit = f"b{number}" if number else "a"
        layer = f"{'res' if form == 'conv' else 'bn'}{level}{unit}_{branch}"
    return f"{'aux' if part in AUXILIARY else 'arg'}:{layer}_{part}"
