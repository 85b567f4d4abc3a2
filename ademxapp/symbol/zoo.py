"""Labels and network names to Symbols."""
import re
from dataclasses import replace
from typing import List, Optional, Sequence, Union

from ademxapp.symbol import heads, inception, losses, resnet, rna, vgg
from ademxapp.symbol.labels import Label, parse_label
from ademxapp.symbol.layers import Scope, SymbolOptions, concat
from ademxapp.symbol.networks import Features, Network
from ademxapp.symbol.recorder import Symbol

FAMILIES = (rna, vgg, resnet, inception)  # each has NAMES, and build(name): the Network, or None of another family

_NAME = re.compile(r"(?P<base>.+?)(?P<scales>-2s)?(?:-w(?P<width>\d+(?:\.\d+)?))?")
SEGMENTATION_LOSSES = ("ohem", "softmax")


def network(name: str) -> Network:
    """The `Network` of a name such as `rna-a1`, `rna-112-1-1-1-1-9-1-1-c` or `rna-a1-2s-w0.125`.

    Raises
    ------
    ValueError
        If there is no such network; the message names those there are.
    """
    parts = _NAME.fullmatch(name)
    found = (family.build(parts["base"]) for family in FAMILIES) if parts else ()
    base = next((network for network in found if network), None)
    width = float(parts["width"]) if parts and parts["width"] else 1.0
    if parts is None or base is None or width <= 0:
        raise ValueError(f"network {name!r} is not known; known are {', '.join(known_networks())}, and rna-<notation> "
                         "such as rna-224-0-3-3-6-3-1-1 (-c behind it: strided); each may end in -2s, in -w<factor>")
    if parts["scales"] and not base.dense_features:
        raise ValueError(f"network {name!r} is not known: {base.name} has one scale, as it only classifies")
    return replace(base, name=name, width=width, two_scales=bool(parts["scales"]),
                   base=base.name + (parts["scales"] or ""))


def known_networks() -> List[str]:
    """Names of the networks that have one: the paper's, and those that it compares with."""
    return [name for family in FAMILIES for name in family.NAMES]


def classification_symbol(label: Union[str, Label], options: Optional[SymbolOptions] = None) -> Symbol:
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
    net = network(label.network)
    scope = Scope(options or SymbolOptions(), net.width)
    features = _features(scope, net, net.features, net.stride(label.stride))
    return losses.softmax(net.classifier(scope, features, label.classes))


def segmentation_symbol(label: Union[str, Label], options: Optional[SymbolOptions] = None, head: str = "2conv",
                        loss: str = "ohem", class_weights: Optional[Sequence[float]] = None) -> Symbol:
    """A fully convolutional segmentation network (paper section 5).

    Parameters
    ----------
    label : str or Label
        For instance "voc_rna-a1_cls21_s8".
    head : {"2conv", "1conv"}
        Layers behind the features.
    loss : {"ohem", "softmax"}
        Online bootstrapping, or every cell that is not labelled 255.
    class_weights : sequence of float, optional
        As of `losses.ohem_softmax`.

    Returns
    -------
    Symbol
        Output `softmax_output` (N, classes, H / stride, W / stride); inputs `data` (N, 3, H, W) and `softmax_label`
        (N, cells), cells in row order, float32.
    """
    label = _as_label(label)
    if loss not in SEGMENTATION_LOSSES:
        raise ValueError(f"loss is {loss!r}; known are {', '.join(SEGMENTATION_LOSSES)}")
    net = network(label.network)
    if not net.dense_features:
        others = ", ".join(name for name in known_networks() if network(name).dense_features)
        raise ValueError(f"{net.name} only classifies; for segmentation there are {others}")
    scope = Scope(options or SymbolOptions(), net.width, dropout=True)
    features = _features(scope, net, net.dense_features, net.stride(label.stride))
    scores = heads.segmentation_head(scope, features, label.classes, head)
    return (losses.ohem_softmax(scores, class_weights=class_weights) if loss == "ohem" else
            losses.softmax(scores, True, class_weights))


def output_stride(label: Union[str, Label]) -> int:
    """Input pixels per cell of a label's network; ValueError for a stride that it cannot have."""
    label = _as_label(label)
    return network(label.network).stride(label.stride)


def _features(scope: Scope, net: Network, build: Features, stride: int) -> Symbol:
    """The network's feature maps, by its `features` or `dense_features`; of both scales where it has two."""
    sym = scope.sym
    data = sym.Variable("data")
    full = build(scope, data, stride)
    if not net.two_scales:
        return full
    half_data = sym.Pooling(data, kernel=(2, 2), stride=(2, 2), pool_type="avg", name="half_data")
    half = build(replace(scope, prefix="half_"), half_data, stride)
    return concat(scope, [full, sym.contrib.BilinearResize2D(half, full, mode="like", name="half_enlarged")],
                  "two_scales")


def _as_label(label: Union[str, Label]) -> Label:
    return label if isinstance(label, Label) else parse_label(label)
