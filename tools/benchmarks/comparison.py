"""Two ways of doing the same, measured in turns."""
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Optional, Tuple

from ademxapp.text_tables import emit, table

COLUMNS = ("what", "against", "per second", "against: per second", "ratio", "lowest … highest", "asked", "met")
LEAST_TURNS = 3


@dataclass(frozen=True)
class Comparison:
    """How often per second one way and the other do a thing, in each turn."""

    what: str
    against: str
    rates: Tuple[float, ...]
    other_rates: Tuple[float, ...]
    asked: Optional[float] = None
    remark: str = ""

    @property
    def ratios(self):
        """Times as fast as the other, in each turn, in rising order."""
        return sorted(rate / other for rate, other in zip(self.rates, self.other_rates))

    def record(self):
        """All figures as a dictionary."""
        ratio = statistics.median(self.ratios)
        return dict(asdict(self), ratio=ratio, lowest=self.ratios[0], highest=self.ratios[-1],
                    met=None if self.asked is None else ratio >= self.asked)


def in_turns(ways, seconds, clock=time.process_time):
    """Rates (a tuple of floats for each way) of `ways`, called in turns until the time is over.

    Parameters
    ----------
    ways : list of callable
        Given the turn's number, each does a share of the work and returns how many things it did.
    seconds : float
        For all turns, by the wall's clock; three turns are made at least, after one that does not count.
    clock : callable
        What is measured: by default the processor time of all of the process's threads, which does not grow while
        other programs have the processor.
    """
    rates, end = [[] for _ in ways], time.monotonic() + seconds
    turn = 0
    while turn <= LEAST_TURNS or time.monotonic() < end:
        for way, found in zip(ways, rates):
            start = clock()
            count = way(turn)
            found.append(count / (clock() - start))
        turn += 1
    return [tuple(found[1:]) for found in rates]


def show(comparisons, args):
    """Print or write comparisons in the asked format."""
    records = [comparison.record() for comparison in comparisons]
    if args.format == "json":
        return emit(json.dumps(records, indent=1) + "\n", args.output)
    rows = [(item["what"], item["against"], f"{statistics.median(item['rates']):.4g}",
             f"{statistics.median(item['other_rates']):.4g}", f"{item['ratio']:.2f}",
             f"{item['lowest']:.2f} … {item['highest']:.2f}", item["asked"] or "",
             {None: "", True: "yes", False: "no"}[item["met"]]) for item in records]
    remarks = [f"{item['what']}: {item['remark']}." for item in records if item["remark"]]
    emit("\n\n".join([table(COLUMNS, rows, args.format == "markdown"), *remarks]) + "\n", args.output)
