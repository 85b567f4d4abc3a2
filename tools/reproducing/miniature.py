"""The paper in miniature: its tables, claims and plots, of the rows that are kept (recipes/miniature.yaml)."""
import functools
import os
import statistics
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Tuple

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ademxapp import paper
from ademxapp.cli import table
from ademxapp.files import read_json, read_yaml, replacing
from ademxapp.paper import Column
from ademxapp.symbol import parse_label

from .measurements import counted
from .recipes import Recipe, read_recipe
from .steps import read_kept

RECIPE = "recipes/miniature.yaml"
STRIDED = {"rna-a1": "Model A1 (strided)"}  # not in the paper's Table 1
SHOWN = {
    **{name: paper.COLUMNS[name] for name in ("top1_error", "top5_error", "pixel_acc", "mean_acc", "mean_iou")},
    "parameters": Column("parameters (M)", 2, 1e6), "multiply_adds": Column("multiply-adds (M)", 1, 1e6),
    "speed_ratio": paper.COLUMNS["speed_ratio"], "memory": Column("planned memory (MiB)", 0, 2 ** 20)}
PAPER = {"1": ("top1_error", "speed_ratio"), "2": ("mean_iou", "memory")}
COSTS = {"1": "multiply_adds", "2": "memory"}
Key = Tuple[str, Optional[str]]  # a network without its width; in Table 2, its head


@dataclass
class Network:
    """A network of one of the tables."""

    name: str  # without its width
    method: str  # what the paper calls it
    head: Optional[str] = None  # in Table 2
    scores: Dict[str, List[float]] = field(default_factory=dict)  # of each seed
    costs: Dict[str, float] = field(default_factory=dict)  # parameters; multiply_adds, speed_ratio; memory, in bytes
    paper: Dict[str, Any] = field(default_factory=dict)

    def mean(self, column: str) -> Optional[float]:
        """The mean of a score over the seeds, or a cost; None if there is none."""
        return statistics.mean(self.scores[column]) if column in self.scores else self.costs.get(column)

    def text(self, column: str) -> str:
        """What stands in the table: the mean, and all seeds where there are several."""
        value, seeds, shown = self.mean(column), self.scores.get(column, []), SHOWN[column]
        several = f" ({', '.join(f'{seed:.1f}' for seed in seeds)})" if len(seeds) > 1 else ""
        return "–" if value is None else f"{value / shown.unit:,.{shown.digits}f}{several}"


def key_of(text: str) -> Key:
    """The network of a label, and the head that its tag begins with."""
    label = parse_label(text)
    return label.network.partition("-w")[0], label.tag.partition("-")[0] if label.stride else None


def method_of(name: str) -> str:
    """What a network is called: as in Table 1, without what else stands there."""
    rows = {row.network: row for row in paper.read_table("table1").rows}
    plain = name if name in rows else name[:-2] if name.endswith("-c") else name[:-1]
    return STRIDED.get(name) or (rows[plain].method.partition(" [")[0] if plain in rows else name)


@functools.lru_cache(maxsize=None)
def kept_rows(path: str = RECIPE) -> Tuple[Recipe, Dict[str, dict]]:
    """The recipe, and its rows that are kept."""
    recipe = read_recipe(path)
    rows = {name: read_kept(recipe, name) for name in recipe.items}
    return recipe, {name: row for name, row in rows.items() if row}


def networks_of(number: str, path: str = RECIPE) -> List[Network]:
    """The networks of Table "1" or "2" that the recipe trains, those that the paper does not have there behind them."""
    recipe, kept = kept_rows(path)
    step = next((step for step in recipe.steps if "model" in step.settings
                 and ("head" in step.settings) == (number == "2")), None)
    if step is None:
        return []
    label, scores = parse_label(step.settings["model"]), {}
    for test in (test for row in kept.values() for test in row["tests"]):
        for name in (name for name in paper.SCORES if name in test):
            scores.setdefault(key_of(test["label"]), {}).setdefault(name, []).append(test[name])
    speeds, kept_speeds = {}, os.path.join(os.path.dirname(recipe.keep), "speed.json")
    if number == "1" and os.path.exists(kept_speeds):
        speeds = {item["what"].partition("-w")[0]: {"speed_ratio": item["ratio"]} for item in read_json(kept_speeds)}
    rows = {(row.network, row.head): row for row in reversed(paper.read_table(f"table{number}").rows)}
    order, inputs, found = list(rows)[::-1], counted_inputs(number, recipe, step.settings), []
    for name, head in sorted(inputs, key=lambda key: order.index(key) if key in order else len(order)):
        ours = replace(label, network=name + "".join(label.network.partition("-w")[1:]), tag=None)
        counts = counted(str(ours), *inputs[name, head])
        method = method_of(name) + (f", {head[0]} conv.{', pooling' * (name == 'rna-a')}" if head else "")
        costs = {**{key: counts[key] for key in ("parameters", COSTS[number])}, **speeds.get(name, {})}
        found.append(Network(name, method, head, scores.get((name, head), {}), costs,
                             rows[name, head].paper if (name, head) in rows else {}))
    return found


def counted_inputs(number: str, recipe: Recipe, settings: Dict[str, Any]) -> Dict[Key, tuple]:
    """What the costs of a table's networks are counted for: images, their size, head and loss."""
    items = recipe.items.values()
    if number == "1":
        return {(item[key], None): (1, item["test"]) for item in items for key in ("network", "tuned")
                if key in item and (key == "network" or item[key] in STRIDED)}
    return {(item[key], head): (settings["batch-images"], settings["crop-size"], head, "ohem")
            for key, head in (("dense", "1conv"), ("two", "2conv")) for item in items if key in item}


def block(number: str, path: str = RECIPE) -> str:
    """The table in miniature: what was measured here, then the paper's figures."""
    networks, published = networks_of(number, path), PAPER[number]
    columns = [name for name in SHOWN if any(network.mean(name) is not None for network in networks)]
    rows = [[network.method, *map(network.text, columns),
             *(f"{network.paper[name]:g}" if name in network.paper else "–" for name in published)]
            for network in networks]
    return table(["network", *(SHOWN[name].title for name in columns),
                  *(f"paper: {paper.COLUMNS[name].title}" for name in published)], rows, True)


def times(path: str = RECIPE) -> str:
    """What every row took, and of which commands it is not yet."""
    recipe, rows = kept_rows(path)
    return table(["row", "trainings: minutes of processor time", "tests: minutes by the clock"],
                 [[name, *(f"{rows[name][key]:.1f}" if name in rows else "not trained yet"
                           for key in ("processor_minutes", "test_minutes"))] for name in recipe.items], True)


def claims(path: str = RECIPE) -> str:
    """The paper's claims, its figures and those here, what the networks cost here, and whether it shows."""
    found = {(network.name, network.head): network for number in PAPER for network in networks_of(number, path)}
    lines = []
    for claim in read_yaml(os.path.join(paper.FOLDER, "claims.yaml")):
        group, keys = claim.get("group", ""), [(*claim[which], None)[:2] for which in ("first", "second")]
        number = "2" if keys[0][1] else "1"
        score, cost = claim.get("score", PAPER[number][0]), COSTS[number]
        known = {(row.network, row.head): row.paper
                 for row in paper.read_table("table4" if group else f"table{number}").rows[::-1] if row.group == group}
        figures = " / ".join(f"{known[name, None if group else head][score]:g}" for name, head in keys)
        pair = [found.get(key) for key in keys]
        if any(network is None or network.mean(score) is None for network in pair):
            lines.append([claim["says"], figures, "–", "–", "not trained yet"])
            continue
        costs = " / ".join(f"{network.costs[cost] / SHOWN[cost].unit:.0f}" for network in pair)
        here = " / ".join(f"{network.mean(score):.2f}" for network in pair)
        lines.append([claim["says"], figures, here, f"{costs} {'MiB' if cost == 'memory' else 'M multiply-adds'}",
                      verdict(*pair, score, claim.get("relation", "better"))])
    return table(["the paper says", "its figures", "here", "cost here", "shows here"], lines, True)


def verdict(first: Network, second: Network, score: str, relation: str) -> str:
    """Whether two networks' scores are as the paper says; differences within the seeds' spread are none."""
    ahead = (first.mean(score) - second.mean(score)) * (-1 if score == "top1_error" else 1)
    seeds = [network.scores[score] for network in (first, second) if score in network.scores]
    spread = max((max(scores) - min(scores) for scores in seeds), default=0.0)
    sure = f"{abs(ahead):.2f}" if score == "speed_ratio" else f"{abs(ahead):.1f} points"
    if seeds:
        sure += f", seeds {spread:.1f} apart" if max(map(len, seeds)) > 1 else ", one seed"
    if relation == "better" and abs(ahead) <= spread:
        return f"open: no difference beyond the seeds' ({sure})"
    if relation == "as good" and ahead > spread:
        return f"more than that: the first is better by {sure}"
    holds = {"better": ahead > 0, "no better": ahead <= spread, "no worse": ahead >= -spread,
             "as good": abs(ahead) <= spread}[relation]
    return f"{'yes' if holds else 'no'}: {'the first' if ahead > 0 else 'the second'} is better by {sure}"


def draw_costs(path: str, number: str) -> None:
    """Draw scores over costs: circles for the paper's networks, crosses for ResNets, one for each seed, joined."""
    score, cost = PAPER[number][0], COSTS[number]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for place, network in enumerate(network for network in networks_of(number) if score in network.scores):
        scores, marker = network.scores[score], "x" if network.name.startswith("rn-") else "o"
        axes.plot([network.costs[cost] / SHOWN[cost].unit] * len(scores), scores, linewidth=1, marker=marker,
                  color=f"C{place % 10}", label=network.method)
    axes.grid(alpha=0.3)
    axes.set(xlabel=SHOWN[cost].title, ylabel=SHOWN[score].title, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside right upper", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")


def draw_curves(path: str) -> None:
    """Draw loss and accuracy of all trainings over epochs: those for classification above, for segmentation below."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    colours: Dict[str, str] = {}
    for training in (training for row in kept_rows()[1].values() for training in row["trainings"]):
        network, head = key_of(training["label"])
        colour = colours.setdefault(method_of(network), [*(f"C{i}" for i in range(10)), "black"][len(colours) % 11])
        first = training["label"].endswith("0")  # of the seeds
        for one, key in zip(axes[1 if head else 0], ("losses", "accuracies")):
            one.plot(training["epochs"], training[key], color=colour, linewidth=1,
                     linestyle=":" if head == "2conv" else "-" if first else "--",
                     label=f"{network}{', 2 conv.' * (head == '2conv')}" if first else None)
    for row, task in zip(axes, ("classification", "segmentation")):
        for one, what in zip(row, ("loss", "accuracy on training crops")):
            one.grid(alpha=0.3)
            one.set(title=f"{task}: {what}", xlabel="epoch")
            one.legend(fontsize=7, ncol=2)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
