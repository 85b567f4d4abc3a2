"""The paper in miniature: train and test the rows of its recipe that are not done, side by side.

A row is a network with a seed. What came of it is kept in a file of the repository, so that a page can be made in
several sittings; a row whose commands have changed since counts as not done. Stopped, the same command goes on.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from ademxapp.cli import existing_file, number
from ademxapp.files import write_json
from ademxapp.machine import processors
from ademxapp.training.progress import clock, read_reports
from tools.reproducing.recipes import item_name, read_recipe
from tools.reproducing.stages import add_data_argument, require_data

RECIPE, RESULTS = "recipes/miniature.yaml", "docs/results/miniature/rows.json"
KEPT = ("top1_error", "top5_error", "pixel_acc", "mean_acc", "mean_iou", "images")
PROCESSOR_TIME = re.compile(r"trained in \S+, (\d+):(\d+):(\d+) of it on the processors")


def add_arguments(parser):
    """Add the arguments of `reproduce.py mini`."""
    parser.description = __doc__
    add_results_arguments(parser)
    add_data_argument(parser)
    parser.add_argument("--output", metavar="DIR", help="folder of the runs (default: as the recipe says)")
    parser.add_argument("--only", metavar="ROW,…", help="these rows (default: all that are not done)")
    parser.add_argument("--jobs", type=number(int, 1), metavar="N", help="rows side by side (default: as many as the "
                        "processors have room for)")
    parser.add_argument("--dry-run", action="store_true", help="only tell which rows are done")


def add_results_arguments(parser):
    """Add the recipe and the file of results."""
    parser.add_argument("--recipe", type=existing_file, default=RECIPE, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--results", default=RESULTS, metavar="FILE", help="default: %(default)s")


def run(args):
    """Run rows, and keep what came of each; 1 if one failed, else 0."""
    asked = args.only and args.only.split(",")
    recipe = read_recipe(args.recipe, asked)
    names = [name for name in row_names(recipe) if name in (asked or row_names(recipe))]
    output = args.output or recipe["output"]
    done = read_rows(args.results, args.recipe)
    rows = [name for name in names if name not in done]
    print(f"{len(names) - len(rows)} of {len(names)} rows are done; to do: {', '.join(rows) or 'none'}", flush=True)
    if args.dry_run or not rows:
        return 0
    require_data(args)
    jobs = args.jobs or max(1, processors() // recipe.get("threads", 1))
    return run_rows(rows, jobs, after(recipe), args, output)


def run_rows(rows, jobs, afters, args, output):
    """Run rows, `jobs` at a time, each after the one that it builds on; 1 if one failed, else 0."""
    start, started, failed = time.monotonic(), {}, []
    processes = []

    def one(name):
        if afters.get(name) in started:
            started[afters[name]].result()
        log = os.path.join(output, "rows", f"{name}.log")
        print(f"{name}: started, {log}", flush=True)
        with open(log, "a", encoding="utf-8") as out:
            process = subprocess.Popen([sys.executable, "tools/reproduce.py", "run", args.recipe, "--only", name,
                                        "--data", args.data, "--output", output], stdout=out, stderr=subprocess.STDOUT)
            processes.append(process)
            return name, process.wait()

    os.makedirs(os.path.join(output, "rows"), exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for name in rows:  # first in, first out: what a row waits for has begun before it
                started[name] = pool.submit(one, name)
            for count, future in enumerate(started.values(), 1):
                name, status = future.result()
                if status:
                    failed.append(name)
                    print(f"{name}: failed with exit status {status}; its log tells why", file=sys.stderr, flush=True)
                    continue
                scores = keep_row(name, args.recipe, args.results, output)
                left = (time.monotonic() - start) / count * (len(rows) - count)
                print(f"{name}: {scores}; {len(rows) - count} rows to go, remaining {clock(left)}", flush=True)
        finally:
            for future in started.values():
                future.cancel()
            for process in processes:
                process.terminate()
    return int(bool(failed))


def row_names(recipe):
    """The names of a recipe's rows."""
    return [item_name(item) for item in recipe["for"]]


def after(recipe):
    """{row: the row whose weights it starts from}."""
    return {item_name(item): item["after"] for item in recipe["for"] if "after" in item}


def read_rows(results, recipe):
    """{row: what came of it}, of the rows that were made by the recipe's commands as they are now."""
    rows = read_kept(results)
    return {name: rows[name] for name in row_names(read_recipe(recipe))
            if name in rows and rows[name]["commands"] == fingerprint(recipe, name)}


def read_kept(path):
    """What a JSON file has, {} where there is none."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def fingerprint(recipe, name):
    """A digest of a row's commands and of the number of threads."""
    found = read_recipe(recipe, [name])
    commands = [" ".join(stage["command"].split()) for stage in found["stages"]]
    return hashlib.sha256(json.dumps([commands, found.get("threads")]).encode()).hexdigest()[:16]


def keep_row(name, recipe, results, output):
    """Add to the results what the row's runs have left; its scores in words."""
    row = collect_row(name, recipe, output)
    rows = {**read_kept(results), name: row}
    os.makedirs(os.path.dirname(results) or ".", exist_ok=True)
    write_json(results, {name: rows[name] for name in sorted(rows)})
    return ", ".join(f"{test['label']} " + (f"top-1 error {test['top1_error']:.2f} %" if "top1_error" in test else
                                            f"mean IoU {test['mean_iou']:.2f} %") for test in row["tests"])


def collect_row(name, recipe, output):
    """What the runs of a row have left: tests with their scores, trainings with processor time and curves."""
    tests, trainings, seconds = [], [], 0
    for stage in read_recipe(recipe, [name])["stages"]:
        made = stage["makes"].format(output=output, data="")
        if os.path.basename(made) == "result.json":
            with open(made, encoding="utf-8") as source:
                result = json.load(source)
            tests.append({"label": result["label"], **{key: result[key] for key in KEPT if key in result}})
            versions, seconds = result["versions"], seconds + result["images"] / result["images_per_second"]
        if "log" in stage:
            trainings.append(training_record(stage["log"].format(output=output, data="")))
    minutes = sum(training["processor_minutes"] for training in trainings)
    return {"commands": fingerprint(recipe, name), "tests": tests, "trainings": trainings,
            "processor_minutes": round(minutes, 2), "test_minutes": round(seconds / 60, 2), "versions": versions}


def training_record(path):
    """A training's label, minutes of processors, and curve: lists of epochs, losses and accuracies."""
    reports = read_reports(path)
    batches = max(report["batch"] for report in reports)
    with open(f"{path}.log", encoding="utf-8") as log:
        times = [sum(int(part) * unit for part, unit in zip(found.groups(), (3600, 60, 1)))
                 for found in PROCESSOR_TIME.finditer(log.read())]
    return {"label": os.path.basename(path), "processor_minutes": round(sum(times) / 60, 2),
            "epochs": [round(report["epoch"] - 1 + report["batch"] / batches, 3) for report in reports],
            "losses": [round(report["loss"], 4) for report in reports],
            "accuracies": [round(report["accuracy"], 4) for report in reports]}
