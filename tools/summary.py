"""Networks at one look: layers, depth, parameters, multiply-adds and planned memory. Nothing is computed or allocated.

    python tools/summary.py voc_rna-a1_cls21_s8 --head 1conv
    python tools/summary.py rna-a rn-101 inception-v4 --brief
    python tools/summary.py rna-a1-w0.125 --batch 8 --crop 64 --format json
    python tools/summary.py rna-a rna-c rn-101 rn-152 vgg-16 --brief --plot networks.png

A label with a stride (_s8) is for segmentation, one without for classification, a network's name alone is its ILSVRC
classifier. The plans are MXNet's for the maps between the layers; the parameters come on top: in training three times
(values, gradients, momentum).
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.summary")

import json
import os
from dataclasses import asdict
from typing import Optional, Sequence, Tuple

from ademxapp.cli import TABLES, UsageError, emit, make_parser, number, paragraphs, table
from ademxapp.errors import usage_errors
from ademxapp.files import replacing
from ademxapp.inspection.costs import MIB, Costs, Group, Layer, costs, default_setting, read_label
from ademxapp.symbol.heads import HEADS
from ademxapp.symbol.zoo import SEGMENTATION_LOSSES
from ademxapp.weights.description import TASKS

LAYER_COLUMNS = ("level", "units", "maps", "layers", "stride", "dilation", "dropout", "weights", "multiply-adds")
COST_COLUMNS = ("label", "images x crop", "depth", "parameters", "multiply-adds (G)", "training (MiB)",
                "recomputed (MiB)", "testing (MiB)")
WITHOUT_MXNET = "The memory of trainings is planned by MXNet alone, which is not installed."


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Print, write or draw what the arguments ask for."""
    parser = make_parser(__doc__)
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="label, checkpoint or name of a network")
    parser.add_argument("--task", choices=TASKS, help="what the network is for (the label tells)")
    parser.add_argument("--batch", type=number(int, 1), metavar="N", help="images on one device (4 for segmentation, "
                        "64 for classification)")
    parser.add_argument("--crop", type=number(int, 1), metavar="PIXELS", help="side of the images (500 rounded up to "
                        "a multiple of the stride; the network's training crop)")
    parser.add_argument("--head", choices=HEADS, default="2conv", help="top for segmentation")
    parser.add_argument("--loss", choices=SEGMENTATION_LOSSES, default="softmax", help="loss of segmentation")
    parser.add_argument("--brief", action="store_true", help="one line for each network, without its layers")
    parser.add_argument("--format", choices=TABLES, default="table", help="of what is printed")
    parser.add_argument("--output", metavar="FILE", help="write there instead of printing")
    parser.add_argument("--plot", metavar="PNG", help="draw the networks' costs beside each other")
    args = parser.parse_args(argv)
    if not args.labels:
        raise UsageError("no label given: for instance voc_rna-a1_cls21_s8")
    with usage_errors():
        labels = [read_label(text) for text in args.labels]
        settings = [default_setting(label, args.task, args.batch, args.crop, args.head, args.loss) for label in labels]
    found = list(map(costs, labels, settings))
    as_json = json.dumps([asdict(item) for item in found], indent=1) + "\n"
    emit(as_json if args.format == "json" else as_tables(found, args.format == "markdown", args.brief), args.output)
    if args.plot:
        draw(found, args.plot)


def as_tables(found: Sequence[Costs], markdown: bool, brief: bool) -> str:
    """The layers of each network, unless `brief`, and the costs of all."""
    parts = []
    if not brief:
        for item in found:
            parts += [f"{'## ' if markdown else ''}{item.label}",
                      table(LAYER_COLUMNS, [layer_row(group) for group in item.groups], markdown)]
    parts.append(table(COST_COLUMNS, [cost_row(item) for item in found], markdown))
    notes = [f"{item.label}: the longest path has {item.longest_path} layers" +
             (", with the top for segmentation" if item.setting.task == "segmentation" else "")
             for item in found if item.longest_path != item.depth]
    told = [WITHOUT_MXNET] * any(item.training_bytes is None for item in found)
    return paragraphs(*parts, *told, *notes)


def layer_row(group: Group) -> Tuple[object, ...]:
    """One line: equal units, or a layer of its own."""
    names = group.units[0] if len(group.units) == 1 else f"{group.units[0]} .. {group.units[-1]}"
    beside = [layer for layer in group.layers if layer.name.endswith("_branch1")]  # a projection
    main = [layer for layer in group.layers if layer not in beside]
    wide = [layer for layer in main if max(layer.kernel) > 1] or main
    maps = main[-1].shape[1:]
    return (group.level, names, "{}x{}".format(*maps) if maps else "1",
            ", ".join(map(describe, main)) + "".join(f" + {describe(layer)}" for layer in beside),
            max(max(layer.stride) for layer in main), " ".join(dict.fromkeys(str(layer.dilation[0]) for layer in wide)),
            max(layer.dropout for layer in main) or "", f"{group.parameters:,}", f"{group.multiply_adds:,}")


def describe(layer: Layer) -> str:
    """A layer in few characters: `3x3 512`, `3x3 pool`, `fc 1000`."""
    size = "{}x{}".format(*layer.kernel)
    if layer.op == "FullyConnected":
        return f"fc {layer.shape[0]}"
    return f"{size} pool" if layer.op == "Pooling" else f"{size} {layer.shape[0]}"


def cost_row(item: Costs) -> Tuple[object, ...]:
    """One line: a network's costs."""
    setting = item.setting
    top = f" ({setting.head}, {setting.loss})" if setting.task == "segmentation" else ""
    statistics = f" + {item.statistics:,}" if item.statistics else ""
    memory = ["–" if plan is None else f"{plan // MIB:,}" for plan in (
        item.training_bytes, item.recomputed_bytes, item.testing_bytes)]
    if item.training_bytes is not None:
        memory[1] += f" ({item.recomputed_bytes / max(item.training_bytes, 1):.2f})"
    return (item.label + top, f"{setting.images} x {setting.crop}x{setting.crop}", item.depth,
            f"{item.parameters:,}{statistics}", f"{item.multiply_adds / 1e9:.2f}", *memory)


def draw(found: Sequence[Costs], path: str) -> None:
    """Bars of parameters, multiply-adds and planned memory, one network below the other."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(13, 1.5 + 0.4 * len(found)), constrained_layout=True)
    axes = figure.subplots(1, 3, sharey=True)
    places = list(range(len(found)))
    axes[0].barh(places, [item.parameters / 1e6 for item in found], color="tab:gray")
    axes[0].set_xlabel("parameters (million)")
    axes[1].barh(places, [item.multiply_adds / 1e9 for item in found], color="tab:gray")
    axes[1].set_xlabel("multiply-adds of one image (billion)")
    for shift, name in enumerate(("training", "recomputed", "testing"), start=-1):
        axes[2].barh([place + 0.27 * shift for place in places],
                     [(getattr(item, f"{name}_bytes") or 0) / 2 ** 30 for item in found], height=0.27, label=name)
    axes[2].set_xlabel("planned memory (GiB)" if all(item.training_bytes is not None for item in found) else
                       "planned memory (GiB); that of trainings needs MXNet")
    axes[2].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=3, frameon=False)
    axes[0].set_yticks(places)
    axes[0].set_yticklabels([f"{item.label}\n{item.setting.images} x {item.setting.crop}x{item.setting.crop}"
                             for item in found])
    axes[0].invert_yaxis()
    with replacing(path) as temporary:
        figure.savefig(temporary, format=os.path.splitext(path)[1][1:] or "png")
