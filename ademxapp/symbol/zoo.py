"""Labels and network names to Symbols."""
import re
from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Union

from ademxapp.symbol import heads, inception, losses, resnet, rna, vgg
from ademxapp.symbol.layers import Scope, concat
from ademxapp.symbol.options import Features, Label, Network, SymbolOptions, parse_label
from ademxapp.symbol.recorder import Symbol

NETWORKS: Dict[str, Network] = {**rna.NETWORKS, **vgg.NETWORKS, **resnet.NETWORKS, **inception.NETWORKS}
SEGMENTATION_LOSSES = ("ohem", "softmax")
_NAME = re.compile(r"(?P<base>.+?)(?P<scales>-2s)?(?:-w(?P<width>\d+(?:\.\d+)?))?")


def network(name: str) -> Network:
    """The `Network` of a name such as `rna-a1`, `rna-112-1-1-1-1-9-1-1-c` or `rna-a1-2s-w0.125`.

    ValueError if there is no such network; the message names those there are.
    """
    parts = _NAME.fullmatch(name)
    found = (NETWORKS.get(parts["base"]) or rna.in_notation(parts["base"])) if parts else None
    width = float(parts["width"] or 1) if parts else 1.0
    if parts is None or found is None or width <= 0:
        raise ValueError(f"network {name!r} is not known; known are {', '.join(known_networks())}, and rna-<notation> "
                         "such as rna-224-0-3-3-6-3-1-1 (-c behind it: strided); each may end in -2s, in -w<factor>")
    if parts["scales"] and not found.dense_features:
        raise ValueError(f"network {name!r} is not known: {parts['base']} has one scale, as it only classifies")
    return replace(found, name=name, width=width, two_scales=bool(parts["scales"]))


def known_networks() -> List[str]:
    """Names of the networks that have one: the paper's, and those that it compares with."""
    return list(NETWORKS)


def classification_symbol(label: Union[str, Label], options: Optional[SymbolOptions] = None) -> Symbol:
    """The classification network of a label such as "ilsvrc-cls_rna-a1_cls1000".

    Output `softmax_output` (N, classes); inputs `data` (N, 3, H, W) and `softmax_label` (N,), float32.
    """
    label = _as_label(label)
    net = network(label.network)
    scope = Scope(options or SymbolOptions(), net.width)
    features = _features(scope, net, net.features, net.stride(label.stride))
    return losses.softmax((net.classifier or heads.classifier)(scope, features, label.classes))


def segmentation_symbol(label: Union[str, Label], options: Optional[SymbolOptions] = None, head: str = "2conv",
                        loss: str = "ohem", class_weights: Optional[Sequence[float]] = None) -> Symbol:
    """The fully convolutional segmentation network (paper section 5) of a label such as "voc_rna-a1_cls21_s8".

    `head` "2conv" or "1conv" are the layers behind the features; `loss` "ohem" is online bootstrapping, "softmax" takes
    every cell that is not labelled 255; `class_weights` are as of `losses.ohem_softmax`. Output `softmax_output`
    (N, classes, H / stride, W / stride); inputs `data` (N, 3, H, W) and `softmax_label` (N, cells), cells in row order,
    float32.
    """
    label = _as_label(label)
    if loss not in SEGMENTATION_LOSSES:
        raise ValueError(f"loss is {loss!r}; known are {', '.join(SEGMENTATION_LOSSES)}")
    net = network(label.network)
    if not net.dense_features:
        others = ", ".join(name for name, other in NETWORKS.items() if other.dense_features)
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
