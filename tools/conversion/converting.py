"""Weights from one format to another, as the extensions tell; MXNet is not needed.

.params (MXNet), .npz (NumPy), .safetensors, and .pth: a PyTorch state dict in the layout that weakly supervised
segmentation uses for these networks (b2.conv_branch2a.weight, …), for the network in ademxapp/deploy/torch_rna.py,
which may be copied anywhere. What was written is read back and compared, bit by bit. What is known of the weights, as
training leaves it in a .json beside them, goes along, for .pth to <name>.pth.json.
"""
import os

from ademxapp.cli import UsageError, existing_file
from ademxapp.weights.description import description_path, kept_description, write_description
from ademxapp.weights.formats import FORMATS, is_format, read_weights, write_weights


def add_arguments(parser):
    """The arguments of `weights.py convert`."""
    parser.add_argument("source", type=existing_file, metavar="FROM", help=f"a file ending in {', '.join(FORMATS)}")
    parser.add_argument("target", metavar="TO", help="file to write, likewise")
    parser.add_argument("--overwrite", action="store_true", help="replace TO")


def run(args):
    """Convert, and say what was written."""
    for path in (args.source, args.target):
        if not is_format(path):
            raise UsageError(f"{path}: the extension must be one of {', '.join(FORMATS)}")
    about, note = kept_description(args.source)
    for path in (args.target, *([description_path(args.target)] if about else ())):
        if os.path.exists(path) and not args.overwrite:
            raise UsageError(f"{path} is there already: --overwrite replaces it")
    weights = read_weights(args.source)
    write_weights(args.target, weights)
    if about:
        write_description(args.target, about.values())
    if note:
        print(note)
    print(f"{args.target}: {len(weights)} arrays, {os.path.getsize(args.target):,} bytes, read back and compared")
