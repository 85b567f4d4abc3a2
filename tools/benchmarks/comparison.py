"""Two ways of doing the same, measured in turns; and all measurements, one after the other, kept for the pages."""
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ademxapp.cli import UsageError, library_versions, table
from ademxapp.engine import ENGINES
from ademxapp.files import write_json
from ademxapp.flags import flag
from ademxapp.machine import described
from ademxapp.training.progress import clock

COLUMNS = ("what", "against", "per second", "against: per second", "ratio", "lowest … highest", "asked", "met")
FOLDER, PROGRAM = "docs/results/speed", "tools/bench.py"
NAMES = {"python": "Python", **ENGINES, "numpy": "NumPy"}
ARGUMENTS = {"networks": ["--batch", "1", "--rounds", "2"]}  # batches of ten take most of an hour


@dataclass(frozen=True)
class Comparison:
    """How often per second one way and the other do a thing, in each turn; the ratio that is asked for."""

    what: str
    against: str
    rates: Tuple[float, ...]
    other_rates: Tuple[float, ...]
    asked: Optional[float] = None
    remark: str = ""

    def record(self) -> Dict[str, Any]:
        """All figures, and how many times as fast as the other the one way was in the turns."""
        ratios = [rate / other for rate, other in zip(self.rates, self.other_rates)]
        ratio = statistics.median(ratios)
        return dict(asdict(self), ratio=ratio, lowest=min(ratios), highest=max(ratios),
                    met=None if self.asked is None else ratio >= self.asked)


def in_turns(ways: Sequence[Callable[[], object]], things: int, seconds: float,
             clock: Callable[[], float] = time.process_time, times: int = 1, turns: int = 3
             ) -> List[Tuple[float, ...]]:
    """Rates of ways to do so many things, each called so many times, in turns until the time (on the wall) is over.

    At least so many turns are made, after one that does not count. The `clock` measures: by default the processor time
    of all of the process's threads, which does not grow while other programs have the processor.
    """
    rates, end = [], time.monotonic() + seconds  # of each turn
    while len(rates) <= turns or time.monotonic() < end:
        rates.append([])
        for way in ways:
            start = clock()
            for _ in range(times):
                way()
            rates[-1].append(times * things / (clock() - start))
    return list(zip(*rates[1:]))


def as_text(records: Sequence[dict], markdown: bool) -> str:
    """The records of comparisons as a table, with their remarks behind it."""
    rows = [(item["what"], item["against"], f"{statistics.median(item['rates']):.4g}",
             f"{statistics.median(item['other_rates']):.4g}", f"{item['ratio']:.2f}",
             f"{item['lowest']:.2f} … {item['highest']:.2f}", item["asked"] or "–",
             {None: "–", True: "yes", False: "**no**" if markdown else "no"}[item["met"]]) for item in records]
    remarks = [f"{'- ' * markdown}{item['what']}: {item['remark']}." for item in records if item["remark"]]
    return "\n".join([table(COLUMNS, rows, markdown), *[""][:len(remarks)], *remarks])


def run(names: List[str], only: Optional[str] = flag("measure only these again", metavar="NAME,…"),
        output: str = flag("where it is kept (default: %(default)s)", FOLDER, metavar="DIR")) -> int:
    """All measurements, or those in --only, kept for the pages; exit status 1 if one failed, whose old file is gone."""
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
            versions = [f"{NAMES[name]} {version}" for name, version in library_versions().items() if name in NAMES]
            write_json(path, {"machine": ", ".join([described(), *versions]), "found": json.loads(done.stdout),
                              "seconds": round(time.monotonic() - start)})
    return int(bool(failed))
