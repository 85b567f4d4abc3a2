"""The paper's tables and figures, one command each; and recipes, run stage by stage, with the pages of their results.

    python tools/reproduce.py table1
    python tools/reproduce.py table2 --data data --dry-run
    python tools/reproduce.py table1 --mini --train --data $ADEMXAPP_DATA
    python tools/reproduce.py figures5-11 --run output/camvid_rna-a1_cls11_s8_ep-0030
    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA --dry-run
    python tools/reproduce.py run recipes/first-run.yaml --data $ADEMXAPP_DATA
    python tools/reproduce.py run recipes/voc.yaml --only rna-a1-2conv --data data
    python tools/reproduce.py page recipes/first-run.yaml --out docs/results/first-run.md

A table's cells, and a recipe's stages, that are done are skipped, so that both can be stopped and taken up again. The
tables are data in ademxapp/paper.

A recipe has title, about, output and stages, each with name, command (what follows `python`), makes (the file that
shows it is done), log (a training's, to resume it), expect (scores that came out here) and paper (the published ones,
in percent). {data} and {output} stand for the folders. Where a recipe is for several networks, `for` lists one item
for each, and {key} in a stage stands for the item's value; the item's first value is its name for --only. `needs` tells
where files come from that no stage makes, and `time` how long the original took. A stage with `when: key` is for the
items that have that key. `threads` is for how many threads every stage computes, whatever the machine has: sums on one
thread and on two differ in their last bits. `minutes` of two cores is what a row of the miniature may take.
`page: comparison` asks for a page that puts the tests side by side, `page: precision` for one that puts the types side
by side that networks were tested in.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.reproduce")

import sys
from importlib import import_module

from ademxapp.cli import Formatter, make_parser

# Each module has add_arguments(parser) and run(args), and is imported only where its command is the one given.
COMMANDS = {
    "run": ("tools.reproducing.stages", "run the stages of a recipe that are not done"),
    "page": ("tools.reproducing.page", "write the page of a recipe's results"),
    **{f"table{n}": ("tools.reproducing.paper_table", f"the paper's Table {n}, cell by cell") for n in range(1, 8)},
    "figures5-11": ("tools.reproducing.figures", "sheets of image, truth, prediction and difference"),
    "full-scale": ("tools.reproducing.full_scale", "what the paper's trainings need: cards, memory, hours (estimate)"),
    "mini": ("tools.reproducing.miniature", "train and test the paper in miniature, row by row"),
    "mini-again": ("tools.reproducing.miniature_again", "train a row of it once more, and compare all numbers"),
    **{f"mini-table{n}": ("tools.reproducing.miniature_tables", f"Table {n} in miniature") for n in (1, 2)},
    "mini-page": ("tools.reproducing.miniature_page", "write the page of the miniature"),
    "figure4": ("tools.reproducing.figure4", "measure gradients along paths of every length, and draw them"),
}


def main(argv=None):
    """Run the subcommand that the arguments name."""
    argv = sys.argv[1:] if argv is None else argv
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=Formatter, allow_abbrev=False)
        if argv[:1] == [name]:
            import_module(module).add_arguments(command)
    args = parser.parse_args(argv)
    return import_module(COMMANDS[args.command][0]).run(args) or 0
