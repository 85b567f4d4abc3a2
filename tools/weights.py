"""Networks for other programs.

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

from ademxapp.cli import Formatter, make_parser
from tools.conversion import to_onnx

COMMANDS = {"export": to_onnx}


def main(argv=None):
    """Run the command that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help="one of:")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__,
                                      formatter_class=Formatter, allow_abbrev=False)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    args.run(args)
