"""The paper in miniature: its tables, claims and plots, of the rows that are kept (recipes/miniature.yaml)."""
import functools
import os
import statistics
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ademxapp import paper
from ademxapp.cli import table
from ademxapp.files import replacing
from ademxapp.symbol import parse_label
from ademxapp.yaml_files import read_yaml

from .keep import read_json, read_kept
from .measurements import counted
from .recipes import Recipe, read_recipe

RECIPE = "recipes/miniature.yaml"
STRIDED = {"rna-a1": "Model A1 (strided)"}  # not in the paper's Table 1
MIB = 2 ** 20
SHOWN = {  # the tables' columns: title, unit, digits
    "top1_error": ("top-1 error (%)", 1, 2), "top5_error": ("top-5 error (%)", 1, 2),
    "pixel_acc": ("pixel acc. (%)", 1, 2), "mean_acc": ("mean acc. (%)", 1, 2), "mean_iou": ("mean IoU (%)", 1, 2),
    "parameters": ("parameters (M)", 1e6, 2), "multiply_adds": ("multiply-adds (M)", 1e6, 1),
    "speed_ratio": ("speed / ResNet-101's", 1, 2), "memory": ("planned memory (MiB)", MIB, 0)}
PAPER = ({"top1_error": "top-1 error (%)", "speed_ratio": "speed / ResNet-101's"},
         {"mean_iou": "mean IoU (%)", "memory": "memory (GB)"})


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

    def spread(self, score: str) -> float:
        """From the lowest seed to the highest."""
        return max(self.scores[score]) - min(self.scores[score]) if score in self.scores else 0.0

    def text(self, column: str) -> str:
        """What stands in the table: the mean, and all seeds where there are several."""
        _, unit, digits = SHOWN[column]
        value, seeds = self.mean(column), self.scores.get(column, [])
        several = f" ({', '.join(f'{seed:.1f}' for seed in seeds)})" if len(seeds) > 1 else ""
        return "–" if value is None else f"{value / unit:,.{digits}f}{several}"


def width_of(network: str) -> Tuple[str, str]:
    """A network's name without its width, and its ending that tells it, such as "-w0.125"."""
    name, width, times = network.rpartition("-w")
    return (name, width + times) if width else (network, "")


@functools.lru_cache(maxsize=None)
def kept_rows(path: str = RECIPE) -> Tuple[Recipe, Dict[str, dict]]:
    """The recipe, and its rows that are kept."""
    recipe = read_recipe(path)
    rows = {name: read_kept(recipe, name) for name in recipe.items}
    return recipe, {name: row for name, row in rows.items() if row}


def tested(score: str, path: str) -> Dict[Tuple[str, Optional[str]], Dict[str, List[float]]]:
    """{(network, head): {score: [a number for each seed]}} of the kept tests that have the score."""
    found: Dict[Tuple[str, Optional[str]], Dict[str, List[float]]] = {}
    for test in (test for row in kept_rows(path)[1].values() for test in row["tests"] if score in test):
        label = parse_label(test["label"])
        scores = found.setdefault((width_of(label.network)[0], label.tag.split("-")[0] if label.stride else None), {})
        for name in paper.SCORES:
            if name in test:
                scores.setdefault(name, []).append(test[name])
    return found


def classifiers(path: str = RECIPE) -> List[Network]:
    """The networks of Table 1 that the recipe trains, Model A1 behind them."""
    recipe, _ = kept_rows(path)
    label = next(parse_label(step.settings["model"]) for step in recipe.steps if "model" in step.settings)
    width, scores = width_of(label.network)[1], tested("top1_error", path)
    crops = {item[key]: item["test"] for item in recipe.items.values() for key in ("network", "tuned")
             if key in item and (key == "network" or item[key] in STRIDED)}
    speeds, kept_speeds = {}, os.path.join(os.path.dirname(recipe.keep), "speed.json")
    if os.path.exists(kept_speeds):
        speeds = {width_of(item["what"])[0]: item["ratio"] for item in read_json(kept_speeds)}
    rows = {row.network: row for row in reversed(paper.read_table("table1").rows) if row.network in crops}
    found = []
    for name in [*reversed(list(rows)), *(name for name in STRIDED if name in crops)]:
        counts = counted(f"{label.dataset}_{name}{width}_cls{label.classes}", 1, crops[name])
        costs = {key: counts[key] for key in ("parameters", "multiply_adds")}
        found.append(Network(name, method_of(name), None, scores.get((name, None), {}),
                             {**costs, **({"speed_ratio": speeds[name]} if name in speeds else {})},
                             rows[name].paper if name in rows else {}))
    return found


def segmenters(path: str = RECIPE) -> List[Network]:
    """The networks of Table 2 that the recipe trains, those that the paper does not have behind them."""
    recipe, _ = kept_rows(path)
    step = next((step for step in recipe.steps if "head" in step.settings), None)
    if step is None:
        return []
    label, batch = parse_label(step.settings["model"]), (step.settings["batch-images"], step.settings["crop-size"])
    width, scores = width_of(label.network)[1], tested("mean_iou", path)
    rows = {(row.network, row.head): row for row in reversed(paper.read_table("table2").rows)}
    wanted = dict.fromkeys([(item["dense"], "1conv") for item in recipe.items.values()] +
                           [(item["two"], "2conv") for item in recipe.items.values() if "two" in item])
    found = []
    for name, head in sorted(wanted, key=lambda key: -list(rows).index(key) if key in rows else 1):
        counts = counted(f"{label.dataset}_{name}{width}_cls{label.classes}_s{label.stride}", *batch, head, "ohem")
        method = f"{method_of(name)}, {head[0]} conv.{', pooling' * (name == 'rna-a')}"
        found.append(Network(name, method, head, scores.get((name, head), {}),
                             {key: counts[key] for key in ("parameters", "memory")},
                             rows[name, head].paper if (name, head) in rows else {}))
    return found


def method_of(name: str) -> str:
    """What a network is called: as in Table 1, without what else stands there."""
    rows = {row.network: row for row in paper.read_table("table1").rows}
    plain = name if name in rows else name[:-2] if name.endswith("-c") else name[:-1]
    return STRIDED.get(name) or (rows[plain].method.partition(" [")[0] if plain in rows else name)


def networks_of(number: str, path: str = RECIPE) -> List[Network]:
    """The networks of Table "1" or "2"."""
    return classifiers(path) if number == "1" else segmenters(path)


def block(number: str, path: str = RECIPE) -> str:
    """The table in miniature: what was measured here, then the paper's figures."""
    networks, published = networks_of(number, path), PAPER[int(number) - 1]
    columns = [name for name in SHOWN if any(network.mean(name) is not None for network in networks)]
    rows = [[network.method, *map(network.text, columns),
             *(f"{network.paper[name]:g}" if name in network.paper else "–" for name in published)]
            for network in networks]
    return table(["network", *(SHOWN[name][0] for name in columns),
                  *(f"paper: {title}" for title in published.values())], rows, True)


def times(path: str = RECIPE) -> str:
    """What every row took, and of which commands it is not yet."""
    recipe, rows = kept_rows(path)
    return table(["row", "trainings: minutes of processor time", "tests: minutes by the clock"],
                 [[name, *(f"{rows[name][key]:.1f}" if name in rows else "not trained yet"
                           for key in ("processor_minutes", "test_minutes"))] for name in recipe.items], True)


def claims(path: str = RECIPE) -> str:
    """The paper's claims, its figures and those here, what the networks cost here, and whether it shows."""
    found = {(network.name, network.head): network for network in classifiers(path) + segmenters(path)}
    lines = []
    for claim in read_yaml(os.path.join(paper.FOLDER, "claims.yaml")):
        keys = [tuple([*claim[which], None][:2]) for which in ("first", "second")]
        first, second = pair = [found.get(key) for key in keys]
        score = claim.get("score", "mean_iou" if keys[0][1] else "top1_error")
        known = {(row.network, row.head): row.paper for row in paper.read_table("table4" if "group" in claim else (
            "table2" if keys[0][1] else "table1")).rows[::-1] if row.group == claim.get("group", "")}
        figures = " / ".join(f"{known[name, None if 'group' in claim else head][score]:g}" for name, head in keys)
        if not first or not second or first.mean(score) is None or second.mean(score) is None:
            lines.append([claim["says"], figures, "–", "–", "not trained yet"])
            continue
        cost = "memory" if first.head else "multiply_adds"
        costs = " / ".join(f"{network.costs[cost] / (MIB if first.head else 1e6):.0f}" for network in pair)
        here = " / ".join(f"{network.mean(score):.2f}" for network in pair)
        lines.append([claim["says"], figures, here, f"{costs} {'MiB' if first.head else 'M multiply-adds'}",
                      verdict(first, second, score, claim.get("relation", "better"))])
    return table(["the paper says", "its figures", "here", "cost here", "shows here"], lines, True)


def verdict(first: Network, second: Network, score: str, relation: str) -> str:
    """Whether two networks' scores are as the paper says; differences within the seeds' spread are none."""
    ahead = first.mean(score) - second.mean(score)
    ahead = -ahead if score == "top1_error" else ahead
    spread = max(first.spread(score), second.spread(score))
    seeds = max(len(network.scores.get(score, [])) for network in (first, second))
    unit = f"{abs(ahead):.2f}" if score == "speed_ratio" else f"{abs(ahead):.1f} points"
    sure = unit + (f", seeds {spread:.1f} apart" if seeds > 1 else ", one seed" if seeds else "")
    if relation == "better" and abs(ahead) <= spread:
        return f"open: no difference beyond the seeds' ({sure})"
    holds = {"better": ahead > 0, "no better": ahead <= spread, "no worse": ahead >= -spread,
             "as good": abs(ahead) <= spread}[relation]
    if relation == "as good" and ahead > spread:
        return f"more than that: the first is better by {sure}"
    return f"{'yes' if holds else 'no'}: {'the first' if ahead > 0 else 'the second'} is better by {sure}"


def draw_costs(path: str, number: str) -> None:
    """Draw scores over costs: circles for the paper's networks, crosses for ResNets, one for each seed, joined."""
    score, cost = (("top1_error", "multiply_adds"), ("mean_iou", "memory"))[int(number) - 1]
    figure, (axes,) = _figure(1, 1, (9, 5))
    for place, network in enumerate(network for network in networks_of(number) if score in network.scores):
        scores, marker = network.scores[score], "x" if network.name.startswith("rn-") else "o"
        axes.plot([network.costs[cost] / SHOWN[cost][1]] * len(scores), scores, linewidth=1, marker=marker,
                  color=f"C{place % 10}", label=network.method)
    axes.set(xlabel=SHOWN[cost][0], ylabel=SHOWN[score][0], xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6, 8)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside right upper", fontsize=8)
    _save(figure, path)


def draw_curves(path: str) -> None:
    """Draw loss and accuracy of all trainings over epochs: those for classification above, for segmentation below."""
    figure, axes = _figure(2, 2, (12, 8))
    colours: Dict[str, str] = {}
    recipe, rows = kept_rows()
    for row in rows.values():
        for training in row["trainings"]:
            label = parse_label(training["label"])
            network, head = width_of(label.network)[0], label.tag.partition("-")[0] if label.stride else ""
            colour = colours.setdefault(method_of(network), [*(f"C{i}" for i in range(10)), "black"][len(colours) % 11])
            seed = label.tag[-1]
            for place, key in enumerate(("losses", "accuracies"), 2 if label.stride else 0):
                axes[place].plot(training["epochs"], training[key], color=colour, linewidth=1,
                                 linestyle=":" if head == "2conv" else "-" if seed == "0" else "--",
                                 label=f"{network}{', 2 conv.' * (head == '2conv')}" if seed == "0" else None)
    for one, title in zip(axes, (f"{task}: {what}" for task in ("classification", "segmentation")
                                 for what in ("loss", "accuracy on training crops"))):
        one.set(title=title, xlabel="epoch")
        one.legend(fontsize=7, ncol=2)
    _save(figure, path)


def _figure(rows: int, columns: int, size: Tuple[float, float]) -> Tuple[Figure, List[Axes]]:
    """A figure without a screen, and its axes in a list."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]
    for one in axes:
        one.grid(alpha=0.3)
    return figure, axes


def _save(figure: Figure, path: str) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
