"""Weights: those that were released, in other formats, and for other programs.

    python tools/weights.py list
    python tools/weights.py check
    python tools/weights.py check --url https://my.mirror/ademxapp
    python tools/weights.py convert models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params rna-a1.pth
    python tools/weights.py export output/camvid_rna-a1_cls11_s8_ep-0030.params --dynamic --out camvid.onnx
    python tools/weights.py export models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --size 320 --normalise uint8 \\
        --out ilsvrc.onnx
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.weights")

import sys
from importlib import import_module

from ademxapp.cli import Formatter, make_parser

COMMANDS = {
    "list": ("listing", "the released weights, and their scores"),
    "check": ("checking", "whether files of weights are whole, and fit their networks; fetch released ones"),
    "convert": ("converting", "between .params, .npz, .safetensors and .pth (PyTorch)"),
    "export": ("to_onnx", "a network as an ONNX file, held to MXNet"),
}


def main(argv=None):
    """Run the command that the arguments name."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help="one of:")
    for name, (module_name, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=Formatter, allow_abbrev=False)
        if argv[:1] == [name]:  # only this one's module is imported: convert works where there is no MXNet
            module = import_module(f"tools.conversion.{module_name}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    return args.run(args)
