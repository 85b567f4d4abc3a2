"""The whole path on a drawn dataset, within minutes: recipes/demo.yaml.

    python tools/demo.py
    python tools/demo.py --output output/demo --seed 1
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.demo")

from typing import Optional, Sequence

from ademxapp.cli import make_parser
from tools import reproduce


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the recipe."""
    parser = make_parser(__doc__)
    parser.add_argument("--output", default="output/demo", metavar="DIR", help="folder of what is made")
    parser.add_argument("--seed", default="0", help="of the pictures and of the training")
    args = parser.parse_args(argv)
    return reproduce.main(["run", "recipes/demo.yaml", "--output", args.output, "--set", f"seed={args.seed}"])
