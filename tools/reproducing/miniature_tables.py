"""Table 1 or 2 in miniature, of the rows that have been trained so far; the paper's figures stand beside them.

A figure is the mean over the seeds that have run, with all of them behind it. Costs and memory are counted in the
networks as they were trained and tested here. Speeds, of testing, are measured with --speed and kept.
"""
import json
import os
import shlex
import statistics
import sys
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ademxapp.files import write_json
from ademxapp.inspection.costs import Setting, build, costs
from ademxapp.inspection.memory import MIB, training_bytes
from ademxapp.inspection.speed import Runner, race
from ademxapp.paper import read_table
from ademxapp.symbol import parse_label
from ademxapp.text_tables import FORMATS, emit, table
from tools.reproducing.measurements import machine
from tools.reproducing.miniature import add_results_arguments, read_kept, read_rows
from tools.reproducing.recipes import read_recipe

REFERENCE = "rn-101"
STRIDED = {"rna-a1": "Model A1 (strided)"}  # not in the paper's Table 1
SPEED_IMAGES, SPEED_ROUNDS = 10, 10
SCORES = {"top1_error": "top-1 error (%)", "top5_error": "top-5 error (%)", "pixel_acc": "pixel acc. (%)",
          "mean_acc": "mean acc. (%)", "mean_iou": "mean IoU (%)"}


@dataclass
class Network:
    """A network of one of the tables: scores by seed, costs here, and the paper's figures.

    `name` is without its width; `head` is None in Table 1; `costs` has parameters, and multiply_adds at the test crop
    and speed_ratio (Table 1) or memory, in MiB (Table 2).
    """

    name: str
    method: str
    head: Optional[str]
    scores: Dict[str, List[float]] = field(default_factory=dict)
    costs: Dict[str, float] = field(default_factory=dict)
    paper: Dict[str, float] = field(default_factory=dict)

    def mean(self, score):
        """The mean over seeds (float), None if there is none."""
        return statistics.mean(self.scores[score]) if score in self.scores else None

    def spread(self, score):
        """From the lowest seed to the highest (float)."""
        return max(self.scores[score]) - min(self.scores[score])


def add_arguments(parser):
    """Add the arguments of mini-table1 and mini-table2."""
    parser.description = __doc__
    add_results_arguments(parser)
    parser.add_argument("--speed", action="store_true", help="table 1: measure the speeds, and keep them beside the "
                        "results")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of what is printed")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing")


def run(args):
    """Print or write the table."""
    networks = (classifiers if args.command == "mini-table1" else segmenters)(args)
    if args.format == "json":
        return emit(json.dumps([vars(network) for network in networks], indent=1) + "\n", args.out)
    emit(as_table(networks, args.format == "markdown") + "\n", args.out)


def as_table(networks, markdown):
    """The networks' table: what was measured here, then the paper's figures."""
    scores = [name for name in SCORES if any(name in network.scores for network in networks)]
    first = networks[0].head is None
    columns = ["network", *(SCORES[name] for name in scores), "parameters (M)",
               *(("multiply-adds (M)", "speed / ResNet-101's") if first else ("planned memory (MiB)",)),
               *(f"paper: {title}" for title in (("top-1 error (%)", "speed / ResNet-101's") if first else
                                                 ("mean IoU (%)", "memory (GB)")))]
    printed = (("multiply_adds", 1e6, 1), ("speed_ratio", 1, 2)) if first else (("memory", MIB, 0),)
    wanted = ("top1_error", "speed_ratio") if first else ("mean_iou", "memory")
    rows = [[network.method, *(score_text(network, name) for name in scores),
             f"{network.costs['parameters'] / 1e6:.2f}",
             *(f"{network.costs[name] / unit:,.{digits}f}" if name in network.costs else "not measured"
               for name, unit, digits in printed),
             *(f"{network.paper[name]:g}" if name in network.paper else "–" for name in wanted)]
            for network in networks]
    return table(columns, rows, markdown)


def score_text(network, score):
    """The mean of a score over seeds, and the seeds' where there are several."""
    seeds = network.scores.get(score, [])
    several = f" ({', '.join(f'{value:.1f}' for value in seeds)})" if len(seeds) > 1 else ""
    return f"{network.mean(score):.2f}{several}" if seeds else "not trained yet"


def classifiers(args):
    """The networks of Table 1, with the scores of the rows that have run."""
    width, tests = width_of(args.recipe), scores_of(args, "top1_error")
    crops = {item[key]: item["test"] for item in read_recipe(args.recipe)["for"] for key in ("network", "tuned")
             if key in item and (key == "network" or item[key] in STRIDED)}
    kept = os.path.join(os.path.dirname(args.results), "speed.json")
    if getattr(args, "speed", False):
        measure_speeds(crops, width, kept)
    speeds = read_kept(kept).get("ratios", {})
    rows = {row.network: row for row in reversed(read_table("table1").rows) if row.network in crops}
    found = []
    for name in [*reversed(list(rows)), *(name for name in STRIDED if name in crops)]:
        cost = costs(parse_label(f"imagenette128_{name}{width}_cls10"), Setting("classification", 1, crops[name]))
        counted = {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
        if name in speeds:
            counted["speed_ratio"] = speeds[name]
        found.append(Network(name, method_of(name, rows), None, tests.get((name, None), {}), counted,
                             rows[name].paper if name in rows else {}))
    return found


def method_of(name, rows):
    """What a network is called: as in Table 1 (`rows`, {network: Row}), without what else stands there."""
    if name in STRIDED:
        return STRIDED[name]
    plain = name if name in rows else name[:-2] if name.endswith("-c") else name[:-1]
    return rows[plain].method.partition(" [")[0] if plain in rows else name


def segmenters(args):
    """The networks of Table 2, with the scores of the rows that have run; Model A with its poolings in the end."""
    width, tests = width_of(args.recipe), scores_of(args, "mean_iou")
    published = {(row.network, row.head): row for row in reversed(read_table("table2").rows)}
    names = {row.network: row for row in reversed(read_table("table1").rows)}
    items, (images, crop) = read_recipe(args.recipe)["for"], batch_of(args.recipe)
    wanted = dict.fromkeys([(item["dense"], "1conv") for item in items] +
                           [(item["two"], "2conv") for item in items if "two" in item])
    order = [key for key in reversed(list(published)) if key in wanted]
    order += [key for key in wanted if key not in published]
    found = []
    for name, head in order:
        cost = costs(parse_label(f"camvid_{name}{width}_cls11_s8"), Setting("segmentation", images, crop, head, "ohem"))
        pooling = ", pooling" if name == "rna-a" else ""
        found.append(Network(
            name, f"{method_of(name, names)}, {head[0]} conv.{pooling}", head, tests.get((name, head), {}),
            {"parameters": cost.parameters, "memory": training_bytes(cost.training_bytes, cost.parameters)},
            published[name, head].paper if (name, head) in published else {}))
    return found


def scores_of(args, score):
    """{(network, head): {score: [a number for each seed]}} of the tests in the results that have the score."""
    found = {}
    for row in read_rows(args.results, args.recipe).values():
        for test in row["tests"]:
            if score in test:
                label = parse_label(test["label"])
                head = label.tag.split("-")[0] if label.stride else None
                scores = found.setdefault((label.network.rpartition("-w")[0], head), {})
                for name in SCORES:
                    if name in test:
                        scores.setdefault(name, []).append(test[name])
    return found


def batch_of(recipe):
    """(images, crop's side) of a batch in the recipe's training for segmentation."""
    commands = [shlex.split(stage["command"]) for stage in read_recipe(recipe)["stages"] if "log" in stage]
    words = next(words for words in reversed(commands) if "--model" in words)
    given = dict(zip(words, words[1:]))
    return int(given["--batch-images"]), int(given["--crop-size"])


def width_of(recipe):
    """The ending of the recipe's networks that tells their width, such as "-w0.125"."""
    command = next(stage["command"] for stage in read_recipe(recipe)["stages"] if "log" in stage)
    label = parse_label(command.split("--model")[1].split()[0])
    return f"-w{label.network.rpartition('-w')[2]}"


def measure_speeds(crops, width, path):
    """Measure images per second in testing at test crops, in turns with the reference; keep the ratios."""
    def runner(name):
        label = parse_label(f"imagenette128_{name}{width}_cls10")
        return Runner(build(label, Setting("classification", SPEED_IMAGES, crops[name]), training=False), SPEED_IMAGES,
                      crops[name])

    reference, ratios = runner(REFERENCE), {}
    for name in crops:
        speed, other = race([runner(name), reference], SPEED_ROUNDS)
        ratios[name] = round(speed / other, 3)
        print(f"{name}{width}: {speed:.1f} images/s, {REFERENCE}{width}: {other:.1f}", file=sys.stderr, flush=True)
    write_json(path, {"machine": machine(), "images": SPEED_IMAGES, "rounds": SPEED_ROUNDS, "reference": REFERENCE,
                      "ratios": ratios})
