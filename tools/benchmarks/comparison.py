"""Two ways of doing the same, measured in turns."""
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

from ademxapp.text_tables import emit, table

COLUMNS = ("what", "against", "per second", "against: per second", "ratio", "lowest … highest", "asked", "met")
LEAST_TURNS = 3
Way = Callable[[int], int]  # given the turn's number, does a share of the work and returns how many things it did


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
    """Print or write comparisons in one of `text_tables.FORMATS`."""
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
