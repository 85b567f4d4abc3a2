"""Train and test a row of the miniature once more, from the same seed, and compare every number with what was kept.

The numbers are the scores of its tests, and the losses and accuracies that its trainings reported. What came of it is
kept beside the rows, in again.json, for the page. Stopped, the same command goes on.
"""
import hashlib
import itertools
import json
import os
import shutil
from argparse import Namespace

from ademxapp.cli import UsageError
from ademxapp.files import write_json
from tools.reproducing.miniature import add_results_arguments, after, read_kept, read_rows, run_rows
from tools.reproducing.recipes import read_recipe
from tools.reproducing.stages import add_data_argument, require_data

NOT_COMPARED = ("label", "images", "epochs", "processor_minutes")


def add_arguments(parser):
    """Add the arguments of `reproduce.py mini-again`."""
    parser.description = __doc__
    parser.add_argument("row", metavar="ROW", help="a row that is done")
    add_results_arguments(parser)
    add_data_argument(parser)


def run(args):
    """Run the row, keep and tell the comparison; 1 if it failed or a number is another, else 0."""
    kept = read_rows(args.results, args.recipe)
    if args.row not in kept:
        raise UsageError(f"row {args.row} is not done; done are {', '.join(kept) or 'none'}")
    require_data(args)
    recipe = read_recipe(args.recipe)
    output, afters = os.path.join(recipe["output"], "again", args.row), after(recipe)
    new = Namespace(recipe=args.recipe, data=args.data, results=os.path.join(output, "rows.json"))
    if run_rows([name for name in (afters.get(args.row), args.row) if name], 1, afters, new, output):
        return 1
    before, now = numbers(kept[args.row]), numbers(read_rows(new.results, args.recipe)[args.row])
    different = sum(one != other for one, other in itertools.zip_longest(before, now))
    found = {**read_kept(again_path(args.results)),
             args.row: {"of": digest(before), "numbers": len(before), "different": different}}
    write_json(again_path(args.results), {name: found[name] for name in sorted(found)})
    print(f"{args.row}: {different} of {len(before)} numbers are others")
    shutil.rmtree(output)
    return int(different > 0)


def numbers(row):
    """The scores, losses and accuracies of a row, in an order (list)."""
    found = []
    for part in (*row["tests"], *row["trainings"]):
        for name in sorted(set(part) - set(NOT_COMPARED)):
            found += part[name] if isinstance(part[name], list) else [part[name]]
    return found


def again_path(results):
    """The file of comparisons, beside the results."""
    return os.path.join(os.path.dirname(results), "again.json")


def digest(values):
    """A digest of numbers."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def read_again(results, rows):
    """{row: {"numbers", "different"}} of the comparisons with the rows as they are now."""
    return {name: found for name, found in read_kept(again_path(results)).items()
            if name in rows and found["of"] == digest(numbers(rows[name]))}
