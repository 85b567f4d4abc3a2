"""A recipe's results as a Markdown page. Every number comes from a file that a run wrote."""
import json
import os
import shutil

import numpy as np

from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.files import write_json, write_text
from ademxapp.training.progress import clock, read_reports
from ademxapp.training.snapshots import load_snapshot
from issegm.datasets import dataset_record


def results_page(recipe_path, recipe, output, out):
    """Write the page `out` of a recipe's runs in `output`, and its pictures and results beside it."""
    folder = os.path.splitext(out)[0]
    os.makedirs(folder, exist_ok=True)
    trainings = [training_seconds(stage["log"].format(output=output)) for stage in recipe["stages"] if "log" in stage]
    parts = [f"# {recipe['title']}", recipe.get("about", "").strip(),
             f"The trainings took {clock(sum(trainings))} in all.", " ".join(recipe.get("notes", "").split()),
             f"All of it is one command: `python tools/reproduce.py run {recipe_path} --data $ADEMXAPP_DATA`. "
             f"This page was made by `python tools/reproduce.py page {recipe_path} --out {out}`."]
    for stage in recipe["stages"]:
        made = stage["makes"].format(output=output, data="$ADEMXAPP_DATA")
        command = " ".join(stage["command"].split()).format(output=output, data="$ADEMXAPP_DATA")
        parts += [f"## {stage['name'][0].upper()}{stage['name'][1:]}", f"```\npython {command}\n```"]
        if "log" in stage:
            parts += training_part(stage["log"].format(output=output), folder)
        if os.path.basename(made) == "result.json":
            parts += test_part(made, folder)
            parts += [f"The paper has {', '.join(f'{name} {value} %' for name, value in stage['paper'].items())}."
                      ] if stage.get("paper") else []
        if "picture" in stage:
            shutil.copy(made, os.path.join(folder, os.path.basename(made)))
            parts += [f"![{stage['name']}]({_beside(folder, made)})", stage["picture"]]
    write_text(out, "\n\n".join(part for part in parts if part) + "\n")


def training_part(path, folder):
    """What the reports of a training say."""
    reports = read_reports(path)
    last = reports[-1]
    shutil.copy(f"{path}.png", folder)
    speeds = [report["images_per_s"] for report in reports]
    kept = f", {100 * last['kept']:.0f} % of the cells kept by online bootstrapping" if "kept" in last else ""
    return [f"{last['epoch']} epochs in {clock(training_seconds(path))} "
            f"({np.median(speeds):.0f} images/s in the median of the reports, {max(speeds):.0f} at best). "
            f"At the end, on augmented training crops: loss {last['loss']:.3f}, accuracy "
            f"{100 * last['accuracy']:.1f} %{kept}.",
            f"![learning curves]({_beside(folder, path + '.png')})"]


def training_seconds(path):
    """Seconds that a run's reports cover: each tells how fast the images since the last one went by."""
    reports = read_reports(path)
    if not reports:
        raise ValueError(f"{path}.jsonl has no reports: run the recipe first")
    batch_images = load_snapshot(f"{path}_snapshot").state["arguments"]["batch_images"]
    batches = max(report["batch"] for report in reports)
    done, seconds = 0, 0.0
    for report in reports:
        position = (report["epoch"] - 1) * batches + report["batch"]
        seconds += (position - done) * batch_images / report["images_per_s"]
        done = position
    return seconds


def test_part(path, folder):
    """What a test's `result.json` says; a copy of it goes into `folder`."""
    result = read_copied(path, folder)
    speed = f"{result['images']} images, {result['images_per_second']:.1f} a second."
    if "top1_error" in result:
        return [f"**Top-1 accuracy {100 - result['top1_error']:.2f} %**, top-5 {100 - result['top5_error']:.2f} %. "
                f"{speed}"]
    acc, iou = most_frequent_class_scores(np.array(result["confusion"]))
    arguments = result["arguments"]
    names = dataset_record(arguments["dataset"], len(result["class_iou"]), arguments.get("dataset_file")).class_names
    rows = [f"| {name} | {_number(i)} | {_number(a)} |"
            for name, i, a in zip(names, result["class_iou"], result["class_acc"])]
    return [f"**Mean IoU {result['mean_iou']:.2f} %**, pixel accuracy {result['pixel_acc']:.2f} %, mean accuracy "
            f"{result['mean_acc']:.2f} %. Predicting the most frequent class everywhere: mean IoU {iou:.2f} %, pixel "
            f"accuracy {acc:.2f} %. {speed}",
            "\n".join(["| class | IoU | accuracy |", "|---|---:|---:|"] + rows)]


def read_copied(path, folder):
    """A result's contents; a copy goes into `folder`, named after its own, without the places of this machine."""
    with open(path, encoding="utf-8") as source:
        result = json.load(source)
    arguments = {name: f"…/{os.path.basename(value)}" if isinstance(value, str) and os.path.isabs(value) else value
                 for name, value in result.get("arguments", {}).items()}
    write_json(os.path.join(folder, f"{os.path.basename(os.path.dirname(path))}.json"),
               {**result, **({"arguments": arguments} if arguments else {})})
    return result


def _number(value):
    return "–" if value is None else f"{value:.1f}"


def _beside(folder, path):
    return f"{os.path.basename(folder)}/{os.path.basename(path)}"
