"""A network as an ONNX file, held to MXNet by onnxruntime.

The file has one input, `data` (N, 3, H, W), and one output, `softmax_output`: probabilities (N, classes) of a
classifier, (N, classes, H / stride, W / stride) of a segmenter. What its inputs and classes are stands in its metadata.
"""
from dataclasses import replace

from ademxapp.cli import UsageError, existing_file, number, numbers
from ademxapp.deploy.onnx_export import export_onnx
from ademxapp.deploy.onnx_model import PIXEL_TYPES
from ademxapp.symbol import SymbolOptions, classification_symbol, parse_label
from ademxapp.symbol.options import POOL_STYLES
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION
from ademxapp.weights.parameters import load_parameters
from iclass import datasets as classification
from issegm import datasets as segmentation
from issegm.sources import test_symbol


def add_arguments(parser):
    """The arguments of `weights.py export`."""
    parser.add_argument("weights", type=existing_file, metavar="WEIGHTS", help="a .params file")
    parser.add_argument("--out", required=True, metavar="ONNX", help="file to write")
    sizes = parser.add_mutually_exclusive_group(required=True)
    sizes.add_argument("--size", type=numbers(int, 1), metavar="PIXELS", help="inputs have this side, or HEIGHT,WIDTH, "
                       "and come one by one; whole cells of a segmenter, so it may be rounded up")
    sizes.add_argument("--dynamic", action="store_true", help="inputs may have any size, and come in any number")
    parser.add_argument("--normalise", choices=PIXEL_TYPES, metavar="|".join(PIXEL_TYPES), help="normalisation becomes "
                        "a part of the network: inputs are RGB in 0 … 255, of this type")
    parser.add_argument("--model", metavar="LABEL", help="the network's label (default: from the weights' name)")
    parser.add_argument("--dataset-file", type=existing_file, metavar="YAML", help="a dataset that is not built in")
    parser.add_argument("--test-scale", type=number(int, 1), metavar="PIXELS", help="what the file says that images "
                        "are best scaled to (default: as the weights say, else the network's test crop, the dataset's "
                        "largest side)")
    parser.add_argument("--pool-top-infer-style", choices=[style for style in POOL_STYLES if style],
                        help="as in iclass/ilsvrc.py")


def run(args):
    """Export, and say how close the file comes to MXNet."""
    parameters = load_parameters(args.weights)
    try:
        known = describe(args.weights, args.model, {name: value.shape for name, value in parameters.args.items()})
        symbol, description = to_export(args, known)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if known.note:
        print(known.note)
    size = args.size and input_size(args.size, known.stride if known.task == SEGMENTATION else 1)
    agreement = export_onnx(args.out, symbol, parameters, description, size)
    inputs = f"inputs of {size[1]}x{size[0]} pixels" if size else "inputs of any size"
    print(f"{args.out}: {description.task}, {description.classes} classes, {inputs}; of {agreement.decisions:,} "
          f"decisions compared with MXNet's, the largest difference of probabilities is {agreement.largest:.1e}")


def to_export(args, known):
    """The `Symbol` of weights of which a `Description` is known, and the one that the arguments ask for."""
    label = parse_label(known.label)
    if known.task == SEGMENTATION:
        if args.pool_top_infer_style:
            raise UsageError("--pool-top-infer-style is for classifiers; these weights segment")
        symbol = test_symbol(label, known.head)
    else:
        style = args.pool_top_infer_style or known.pool_style or None
        symbol = classification_symbol(label, SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=style))
        known = replace(known, pool_style=style or "")
    scale = args.test_scale or known.test_scale
    if args.dataset_file or not known.class_names:
        module = segmentation if known.task == SEGMENTATION else classification
        record = module.dataset_record(label.dataset, label.classes, args.dataset_file)
        known, scale = replace(known, **record.described()), scale or record.largest_side
    return symbol, replace(known, test_scale=scale, pixels=args.normalise or "")


def input_size(sides, cell):
    """(H, W) of whole cells from the values of --size."""
    if len(sides) > 2:
        raise UsageError(f"--size has {len(sides)} numbers: wanted a side, or a height and a width")
    return tuple(-(-side // cell) * cell for side in (sides[0], sides[-1]))
