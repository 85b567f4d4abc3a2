"""All measurements in turn, each a command of its own; what they say is kept as it comes, for the pages."""
import json
import os
import platform
import subprocess
import sys
import time
from typing import List, Optional

import numpy

from ademxapp.cli import Parser, UsageError
from ademxapp.engine.mxnet.backend import mx
from ademxapp.files import write_json
from ademxapp.machine import processor_flags, processor_name, processors
from ademxapp.training.progress import clock

FOLDER, PROGRAM = "docs/results/speed", "tools/bench.py"
ARGUMENTS = {"networks": ["--batch", "1", "--rounds", "2"]}  # batches of ten take most of an hour
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


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
    return (f"{processors()} processors ({processor_name()}; {instructions}), {memory:.0f} GiB, Linux, Python "
            f"{platform.python_version()}, MXNet {mx.__version__}, NumPy {numpy.__version__}")
