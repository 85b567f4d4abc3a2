"""One of the paper's tables: what the paper has, what there is here, and what the other cells need.

What can be measured with what is on the disk is measured, and kept, row by row: broken off, the same command goes on.
Tests are those of the recipes, or the published ones of the weights that the authors released, in models/. Nothing is
trained without --train.
"""
import os
import shlex
import sys
from argparse import ArgumentTypeError, Namespace

from ademxapp.cli import UsageError, number
from ademxapp.paper import read_table
from ademxapp.settings import Devices
from ademxapp.text_tables import FORMATS, emit
from tools.reproducing import miniature, miniature_tables
from tools.reproducing.cells import row_cells
from tools.reproducing.measurements import costs_of, memory_of, speed_of
from tools.reproducing.recipes import in_output, read_recipe, relocated
from tools.reproducing.rendering import as_json, as_text
from tools.reproducing.stages import add_data_argument, run_stages
from tools.reproducing.tables import columns_of
from tools.reproducing.tested import recipe_of, scores_of

KINDS = ("costs", "memory", "speed", "test")
DEFAULTS = {"output": "output", "batch": 1, "rounds": 5}


def add_arguments(parser):
    """Add the arguments of the tables' commands."""
    parser.description = __doc__
    add_data_argument(parser)
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--output", metavar="DIR", help="folder of the recipes' runs")
    parser.add_argument("--dry-run", action="store_true", help="only tell what can be measured now")
    parser.add_argument("--train", action="store_true", help="train the networks whose weights are missing, where all "
                        "that their recipes need is there")
    parser.add_argument("--mini", action="store_true", help="Tables 1 and 2 in miniature: narrow networks on small "
                        "images (see mini, mini-table1, mini-table2)")
    parser.add_argument("--measure", type=kinds, default=KINDS, metavar="KIND,…", help=f"only {', '.join(KINDS)}")
    parser.add_argument("--format", choices=FORMATS, help="(default: as --out ends, or a table for the terminal)")
    parser.add_argument("--out", metavar="FILE", help="write there (.md, .json) instead of printing")
    parser.add_argument("--batch", type=number(int, 1), help="speed: images in a batch (the paper: 10)")
    parser.add_argument("--rounds", type=number(int, 1), help="speed: batches, of which the fastest counts")
    Devices.add_to(parser)


def kinds(text):
    """An argparse type: some of KINDS."""
    unknown = set(text.split(",")) - set(KINDS)
    if unknown:
        raise ArgumentTypeError(f"{min(unknown)!r} is no kind: wanted some of {', '.join(KINDS)}")
    return tuple(text.split(","))


def run(args):
    """Measure what can be, and print or write the table; the exit status of a training that failed, else 0."""
    if args.mini:
        return run_mini(args)
    args.data, args.devices = args.data or "data", device_words(args)
    table = read_table(args.command)
    if args.train:
        status = train(table, args)
        if status:
            return status
    cells = []
    for row in table.rows:
        found = measurements(row, table, args)
        for one in found.values():
            if one.make and args.dry_run:
                print(f"can be measured now: {one.kind} of {one.what}", file=sys.stderr)
            elif one.make:
                one.make()
        cells.append(row_cells(row, columns_of(table.columns), found))
    form = form_of(args)
    emit(as_json(table, cells) if form == "json" else as_text(table, cells, command_line(args), form == "markdown"),
         args.out)
    return 0


def command_line(args):
    """The command that makes the same page, where the data are in their place."""
    given = [word for name, value in {**DEFAULTS, "out": None}.items() if getattr(args, name) != value
             for word in (f"--{name}", str(getattr(args, name)))]
    given += ["--measure", ",".join(args.measure)] * (args.measure != KINDS) + ["--dry-run"] * args.dry_run
    return shlex.join(["python", "tools/reproduce.py", args.command, *given, *args.devices])


def device_words(args):
    """The arguments of the programs that choose the devices that are asked for (list of str)."""
    if args.gpus:
        return ["--gpus", ",".join(map(str, args.gpus))]
    return ["--cpus", str(args.cpus)] if args.cpus else []


def run_mini(args):
    """The table in miniature, after the training of the rows that are not done where --train asks for it."""
    if args.command not in ("table1", "table2"):
        raise UsageError(f"--mini: {args.command} has no miniature; table1 and table2 have")
    other = [name for name, value in {**DEFAULTS, "measure": KINDS, "gpus": None, "cpus": None}.items()
             if name != "output" and getattr(args, name) != value]
    if other:
        raise UsageError(f"--{other[0]} is not for --mini, whose recipe says what is measured, and how")
    common = {"recipe": miniature.RECIPE, "results": miniature.RESULTS}
    if args.train:
        output = in_output(read_recipe(miniature.RECIPE)["output"], args.output)
        status = miniature.run(Namespace(**common, data=args.data, output=output, only=None, jobs=None,
                                         dry_run=args.dry_run))
        if status:
            return status
    return miniature_tables.run(Namespace(**common, command=f"mini-{args.command}", speed=False, out=args.out,
                                          format=form_of(args)))


def form_of(args):
    """One of FORMATS: what is asked for, or what the file's name says."""
    return args.format or {".md": "markdown", ".json": "json"}.get(os.path.splitext(args.out or "")[1], "table")


def measurements(row, table, args):
    """{kind: Measurement} of a row, of the kinds that the table has columns of; without `--measure`, not to be made."""
    folder = os.path.join(args.output, "tables")
    card = args.gpus[0] if args.gpus else None
    wanted = {column.kind for column in columns_of(table.columns).values()}
    found = {}
    if row.network:
        found = {"costs": lambda: costs_of(row),
                 "speed": lambda: speed_of(row, folder, args.batch, args.rounds, card)}
        if row.head:
            found["memory"] = lambda: memory_of(row, folder)
    if row.tests:
        found["test"] = lambda: scores_of(row.tests, args)
    found = {kind: make() for kind, make in found.items() if kind in wanted}
    for kind, one in found.items():
        if kind not in args.measure:
            one.make = None
    return found


def train(table, args):
    """Run the recipes of the rows that have no scores and lack nothing but training; the status of one that fails."""
    for row in table.rows:
        found = row.tests and scores_of(row.tests, args)
        if not found or found.values is not None or found.make:
            continue
        recipe = relocated(recipe_of(row.tests[0]), args.output, args.devices)
        output = in_output(recipe["output"], args.output)
        missing = [path for path in recipe["needs"] if not os.path.exists(path.format(data=args.data, output=output))]
        if missing:
            print(f"{row.method}: cannot be trained without {missing[0].format(data=args.data, output=output)}",
                  file=sys.stderr)
            continue
        status = run_stages(recipe, args.data, output, args.dry_run)
        if status:
            return status
    return 0
