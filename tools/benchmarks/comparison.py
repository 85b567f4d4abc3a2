"""Two ways of doing the same, measured in turns; and all measurements, one after the other, kept for the pages."""
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy

from ademxapp.cli import Parser, UsageError, emit, table
from ademxapp.engine import load
from ademxapp.files import write_json
from ademxapp.machine import processor_flags, processor_name, processors
from ademxapp.training.progress import clock

COLUMNS = ("what", "against", "per second", "against: per second", "ratio", "lowest … highest", "asked", "met")
LEAST_TURNS = 3
Way = Callable[[int], int]  # given the turn's number, does a share of the work and returns how many things it did
FOLDER, PROGRAM = "docs/results/speed", "tools/bench.py"
ARGUMENTS = {"networks": ["--batch", "1", "--rounds", "2"]}  # batches of ten take most of an hour
ENGINE_NAMES = {"mxnet": "MXNet", "torch": "PyTorch"}
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


@dataclass(frozen=True)
class Comparison:
    """How often per second one way and the other do a thing, in each turn; the ratio that is asked for."""

    what: str
    against: str
    rates: Tuple[float, ...]
    other_rates: Tuple[float, ...]
    asked: Optional[float] = None
    remark: str = ""

    @property
    def ratios(self) -> List[float]:
        """Times as fast as the other, in each turn, in rising order."""
        return sorted(rate / other for rate, other in zip(self.rates, self.other_rates))

    def record(self) -> Dict[str, Union[str, float, Sequence[float], None]]:
        """All figures as a dictionary."""
        ratio = statistics.median(self.ratios)
        return dict(asdict(self), ratio=ratio, lowest=self.ratios[0], highest=self.ratios[-1],
                    met=None if self.asked is None else ratio >= self.asked)


def in_turns(ways: Sequence[Way], seconds: float, clock: Callable[[], float] = time.process_time
             ) -> List[Tuple[float, ...]]:
    """Rates of each way, called in turns until the time (by the wall's clock) is over.

    Three turns are made at least, after one that does not count. The `clock` measures: by default the processor time of
    all of the process's threads, which does not grow while other programs have the processor.
    """
    rates: List[List[float]] = [[] for _ in ways]
    end, turn = time.monotonic() + seconds, 0
    while turn <= LEAST_TURNS or time.monotonic() < end:
        for way, found in zip(ways, rates):
            start = clock()
            count = way(turn)
            found.append(count / (clock() - start))
        turn += 1
    return [tuple(found[1:]) for found in rates]


def show(comparisons: Sequence[Comparison], form: str, output: Optional[str]) -> None:
    """Print or write comparisons in one of `cli.TABLES`."""
    records = [comparison.record() for comparison in comparisons]
    text = json.dumps(records, indent=1) if form == "json" else as_text(records, form == "markdown")
    emit(f"{text}\n", output)


def as_text(records: Sequence[dict], markdown: bool) -> str:
    """The records of comparisons as a table, with their remarks behind it."""
    rows = [(item["what"], item["against"], f"{statistics.median(item['rates']):.4g}",
             f"{statistics.median(item['other_rates']):.4g}", f"{item['ratio']:.2f}",
             f"{item['lowest']:.2f} … {item['highest']:.2f}", item["asked"] or "–",
             {None: "–", True: "yes", False: "**no**" if markdown else "no"}[item["met"]]) for item in records]
    remarks = [f"{'- ' * markdown}{item['what']}: {item['remark']}." for item in records if item["remark"]]
    return "\n".join([table(COLUMNS, rows, markdown), *[""][:len(remarks)], *remarks])


def add_arguments(command: Parser) -> None:
    """The arguments of `all`."""
    command.add_argument("--only", metavar="NAME,…", help="measure only these again")
    command.add_argument("--output", default=FOLDER, metavar="DIR", help="where it is kept (default: %(default)s)")


def run(names: List[str], only: Optional[str], output: str) -> int:
    """Run the measurements `names`, or those of them in `only`; exit status 1 if one failed, whose old file is gone."""
    chosen, failed = only.split(",") if only else names, []
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise UsageError(f"--only {unknown[0]}: there are {', '.join(names)}")
    begin = time.monotonic()
    for number, name in enumerate(chosen, 1):
        start = time.monotonic()
        print(f"[{number}/{len(chosen)}] {name}, after {clock(start - begin)}", file=sys.stderr, flush=True)
        path = os.path.join(output, f"{name}.json")
        done = subprocess.run([sys.executable, PROGRAM, name, *ARGUMENTS.get(name, ()), "--format", "json"],
                              stdout=subprocess.PIPE, encoding="utf-8")
        if done.returncode:
            print(f"{name} failed with exit status {done.returncode}", file=sys.stderr)
            failed.append(name)
            if os.path.exists(path):
                os.remove(path)
        else:
            write_json(path, {"machine": machine(), "seconds": round(time.monotonic() - start),
                              "found": json.loads(done.stdout)})
    return int(bool(failed))


def machine() -> str:
    """What the figures are of, in words: processors, memory, system, versions."""
    instructions = ", ".join(flag for flag in INSTRUCTIONS if flag in processor_flags())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    engine = ", ".join(f"{ENGINE_NAMES.get(name, name)} {version}" for name, version in load().versions().items())
    return (f"{processors()} processors ({processor_name()}; {instructions}), {memory:.0f} GiB, Linux, Python "
            f"{platform.python_version()}, {engine}, NumPy {numpy.__version__}")
