"""All measurements in turn, kept as they come, and a page of what they say."""
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from ademxapp.cli import UsageError
from ademxapp.files import write_json, write_text
from ademxapp.machine import processor_flags, processor_name, processors
from ademxapp.text_tables import table
from ademxapp.training.progress import clock
from tools.benchmarks.comparison import COLUMNS

DEFAULT, PROGRAM = "docs/results/speed.md", "tools/bench.py"
ARGUMENTS = {"networks": ["--batch", "1", "--rounds", "2"]}  # batches of ten take most of an hour
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")

LIMITS = {  # what was tried where a figure is not met, and what stands in its way
    "dtypes": "bfloat16: processors without the matrix unit (amx_bf16 above) may multiply bfloat16 slower than "
              "float32, as the rates of the two products say; the network runs at the rate of the product.",
    "test-run": "Whole tests: reading, scaling, labels, files and scores run in threads beside the network, whose own "
                "threads hold all processors, so that what is left is their processor time. NumPy's OpenBLAS has "
                "one thread, as its others spin after every product (OPENBLAS_NUM_THREADS says otherwise).",
}


def add_arguments(command):
    """The arguments of `all`."""
    command.add_argument("--page", action="store_true", help="measure nothing: the page of what is kept")
    command.add_argument("--only", metavar="NAME,…", help="measure only these again; the page has the others as they "
                         "were kept")


def measure(args, names):
    """Run the measurements `names` one after another, each a command of its own, and write the page.

    What each said is kept in a folder of the page's name. Exit status 1 if one failed; the page says which.
    """
    unknown = [name for name in (args.only.split(",") if args.only else ()) if name not in names]
    if unknown:
        raise UsageError(f"--only {unknown[0]}: there are {', '.join(names)}")
    out = args.output or DEFAULT
    folder = os.path.splitext(out)[0]
    os.makedirs(folder, exist_ok=True)
    start, failed = time.monotonic(), []
    chosen = [] if args.page else args.only.split(",") if args.only else names
    for number, name in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name}, after {clock(time.monotonic() - start)}", file=sys.stderr, flush=True)
        if not measure_one(name, os.path.join(folder, f"{name}.json")):
            failed.append(name)
    kept = {}
    for name in names:
        path = os.path.join(folder, f"{name}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as source:
                kept[name] = json.load(source)
    write_text(out, page(kept, [name for name in names if name not in kept], out))
    print(f"{out}, after {clock(time.monotonic() - start)}", file=sys.stderr)
    return int(bool(failed))


def measure_one(name, path):
    """Run one measurement and keep what it says; False, and the old file removed, if it failed."""
    start = time.monotonic()
    command = [sys.executable, PROGRAM, name, *ARGUMENTS.get(name, ()), "--format", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        print(f"{name} failed with exit status {done.returncode}", file=sys.stderr)
        if os.path.exists(path):
            os.remove(path)
        return False
    write_json(path, {"machine": machine(), "seconds": round(time.monotonic() - start),
                      "found": json.loads(done.stdout)})
    return True


def machine():
    """What the figures are of, in words: processors, memory, system, versions."""
    import mxnet
    import numpy
    instructions = ", ".join(flag for flag in INSTRUCTIONS if flag in processor_flags())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    return (f"{processors()} processors ({processor_name()}; {instructions}), {memory:.0f} GiB, Linux, Python "
            f"{platform.python_version()}, MXNet {mxnet.__version__}, NumPy {numpy.__version__}")


def page(kept, missing, out):
    """The page's text: a table of comparisons, the speeds of the networks, and remarks."""
    comparisons = [(name, item) for name, one in kept.items() if isinstance(one["found"], list)
                   for item in one["found"]]
    rows = [(item["what"], item["against"], f"{statistics.median(item['rates']):.4g}",
             f"{statistics.median(item['other_rates']):.4g}", f"{item['ratio']:.2f}",
             f"{item['lowest']:.2f} … {item['highest']:.2f}", item["asked"] or "–",
             {None: "–", True: "yes", False: "**no**"}[item["met"]]) for _, item in comparisons]
    remarks = [f"- {item['what']}: {item['remark']}." for _, item in comparisons if item["remark"]]
    machines = list(dict.fromkeys(one["machine"] for one in kept.values()))
    seconds = ", ".join(f"{name} {one['seconds']} s" for name, one in kept.items())
    parts = ["# Speed", f"Measured on {'; '.join(machines)}.", "Every ratio is of two ways in the same run: both are "
             "taken in turns, and the ratio is the median over the turns, with the lowest and the highest beside it. "
             "More is better.", table(COLUMNS, rows, markdown=True)]
    limits = [f"- {LIMITS[name]}" for name in LIMITS if any(one == name and item["met"] is False
                                                            for one, item in comparisons)]
    parts += ["\n".join(remarks + limits)] if remarks + limits else []
    parts += [f"Failed, or not measured: {', '.join(missing)}."] if missing else []
    if "networks" in kept:
        parts += ["## Networks in testing", *networks_part(kept["networks"]["found"])]
    return "\n\n".join([*parts, f"`make bench` made this page ({seconds}); what each measurement said is in "
                                f"`{os.path.splitext(out)[0]}/`."]) + "\n"


def networks_part(found):
    """A table of the networks' speeds beside ResNet-101's."""
    paper = {item["network"]: item["paper"] for item in found["networks"]}
    rows = [(item["network"], f"{item['images']} x {item['crop']}x{item['crop']}", f"{item['images_per_second']:.3g}",
             f"{item['ratio']:.2f}", f"{item['paper'] / paper[found['reference']]:.2f}" if item["paper"] else "–")
            for item in found["networks"]]
    yield table(("network", "images x crop", "images/s", f"ratio to {found['reference']}", "Table 1: ratio"), rows,
                markdown=True)
    yield "The paper's speeds are of one GTX 980, in batches of ten."
