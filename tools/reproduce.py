"""Recipes, the paper's tables and figures, and the pages of what came out.

    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
    python tools/reproduce.py run recipes/miniature.yaml --jobs 2 --data $ADEMXAPP_DATA
    python tools/reproduce.py keep recipes/first-run.yaml
    python tools/reproduce.py pages --check
    python tools/reproduce.py show miniature 1
    python tools/reproduce.py table2 --data data
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030

A recipe (recipes/*.yaml) has title, output and steps, each with name, run (the program and its subcommand), with (its
flags), makes (the file that shows it is done), log (a training's, to resume it) and expect (scores that came out here).
{data} and {output} stand for the folders, {key} for one of `values`, which --set changes. Where a recipe is for several
networks, `for` lists one item for each, and {key} stands for the item's value; the item's first value is its name for
--only, `after` names one that it builds on. A step with `when: key` is for the items that have that key. `needs` tells
where files come from that no step makes, `time` how long the original took, `keep` where `keep` puts what came out.
`threads` is for how many threads every step computes, whatever the machine has: sums on one thread and on two differ in
their last bits. What is done is skipped, so that a run can be stopped and taken up again.

The paper's figures are in ademxapp/paper.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.reproduce")

import sys
from importlib import import_module
from typing import Optional, Sequence

from ademxapp.cli import Formatter, UsageError, make_parser

# Classes of what a command is asked for, which execute it; their modules are imported where the command is given.
COMMANDS = {
    "run": ("steps", "Run", "run the steps of a recipe that are not done"),
    "keep": ("steps", "Keep", "copy what came out of a recipe to where the pages take it from"),
    "pages": ("pages", "Pages", "fill the tables of the pages, or check them"),
    "show": ("pages", "Show", "print a table of the pages"),
    **{f"table{n}": ("paper_tables", "PaperTable", f"the paper's Table {n}, and what there is here")
       for n in range(1, 8)},
    "figures5-11": ("paper_tables", "Sheets", "sheets of image, truth, prediction and difference"),
}
MOVED = {"mini": "reproduce.py run recipes/miniature.yaml --jobs 2", "figure4": "report.py paths",
         "mini-again": "reproduce.py keep recipes/miniature.yaml --compare", "mini-page": "reproduce.py pages",
         "mini-table1": "reproduce.py show miniature 1", "mini-table2": "reproduce.py show miniature 2",
         "page": "reproduce.py pages", "full-scale": "reproduce.py show full-scale"}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the subcommand that the arguments name; the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in MOVED:
        raise UsageError(f"{argv[0]} is now `python tools/{MOVED[argv[0]]}`")
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, kind, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=Formatter, allow_abbrev=False)
        if argv[:1] == [name]:
            settings = getattr(import_module(f".reproducing.{module}", __package__), kind)
            command.description = settings.__doc__.replace("\n    ", "\n")
            settings.add_to(command)
    args = parser.parse_args(argv)
    asked = settings.from_args(args)
    return asked.execute(args.command) if args.command.startswith("table") else asked.execute()
