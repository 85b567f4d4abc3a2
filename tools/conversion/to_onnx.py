"""A network as an ONNX file, held to MXNet by onnxruntime.

The file has one input, `data` (N, 3, H, W), and one output, `softmax_output`: probabilities (N, classes) of a
classifier, (N, classes, H / stride, W / stride) of a segmenter. What its inputs and classes are stands in its metadata.
"""
from ademxapp.cli import UsageError, existing_file, number, numbers
from ademxapp.deploy.onnx_export import export_onnx
from ademxapp.deploy.onnx_model import PIXEL_TYPES, Description
from ademxapp.symbol import SymbolOptions, classification_symbol, network, output_stride, parse_label, whole_cells
from ademxapp.symbol.options import POOL_STYLES
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
                        "are best scaled to (default: the network's test crop, the dataset's largest side)")
    parser.add_argument("--pool-top-infer-style", choices=[style for style in POOL_STYLES if style],
                        help="as in iclass/ilsvrc.py")


def run(args):
    """Export, and say how close the file comes to MXNet."""
    try:
        label = parse_label(args.model or args.weights)
        stride = output_stride(label)
    except ValueError as error:
        raise UsageError(str(error)) from None
    parameters = load_parameters(args.weights)
    symbol, description = describe(args, label, parameters)
    size = args.size and input_size(args.size, stride if description.task == "segmentation" else 1)
    agreement = export_onnx(args.out, symbol, parameters, description, size)
    inputs = f"inputs of {size[1]}x{size[0]} pixels" if size else "inputs of any size"
    print(f"{args.out}: {description.task}, {description.classes} classes, {inputs}; of {agreement.decisions:,} "
          f"decisions compared with MXNet's, the largest difference of probabilities is {agreement.largest:.1e}")


def describe(args, label, parameters):
    """The `Symbol` of weights, and the `Description` that the arguments ask for."""
    try:
        if is_segmenter(parameters):
            record, symbol, own = segmenter(args, label, parameters)
        else:
            record, symbol, own = classifier(args, label)
    except ValueError as error:
        raise UsageError(str(error)) from None
    settings = network(label.network).input
    return symbol, Description(
        label=str(label), classes=label.classes, stride=output_stride(label), mean=settings.mean, std=settings.std,
        interpolation=settings.interpolation, class_names=record.class_names, pixels=args.normalise or "",
        **{**own, "test_scale": args.test_scale or own["test_scale"]})


def is_segmenter(parameters):
    """Whether the last layer is a convolution."""
    return any(name.startswith("linear") and name.endswith("_weight") and value.ndim == 4
               for name, value in parameters.args.items())


def segmenter(args, label, parameters):
    """(record, symbol, the description's own fields) of a segmentation network."""
    if args.pool_top_infer_style:
        raise UsageError("--pool-top-infer-style is for classifiers; these weights segment")
    record = segmentation.dataset_record(label.dataset, label.classes, args.dataset_file)
    symbol = test_symbol(label, "2conv" if "conv6a_weight" in parameters.args else "1conv")
    return record, symbol, {
        "task": "segmentation", "test_scale": record.largest_side, "same_size": record.same_size,
        "label_ids": record.label_ids, "palette": tuple(map(tuple, record.palette.tolist()))}


def classifier(args, label):
    """(record, symbol, the description's own fields) of a classification network."""
    record = classification.dataset_record(label.dataset, label.classes, args.dataset_file)
    options = SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=args.pool_top_infer_style)
    return record, classification_symbol(label, options), {
        "task": "classification", "test_scale": network(label.network).input.test_crop}


def input_size(sides, cell):
    """(H, W) of whole cells from the values of --size."""
    if len(sides) > 2:
        raise UsageError(f"--size has {len(sides)} numbers: wanted a side, or a height and a width")
    return tuple(whole_cells(side, cell) for side in (sides[0], sides[-1]))
