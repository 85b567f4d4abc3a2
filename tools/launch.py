"""Train with several workers, which add their gradients up: on MXNet's parameter servers, or among themselves.

All on one machine: two workers and one server (and the scheduler, which every job has). The servers' work is small:

    python tools/launch.py -n 2 -s 1 iclass/ilsvrc.py --kvstore dist_sync --model pets_rna-a1_cls37 …

One role alone, on each machine that a cluster's scheduler chooses; HOST is where the scheduler's role runs:

    python tools/launch.py --role scheduler --root HOST:9091 -n 2 -s 1
    python tools/launch.py --role server --root HOST:9091 -n 2 -s 1
    python tools/launch.py --role worker --root HOST:9091 -n 2 -s 1 iclass/ilsvrc.py --kvstore dist_sync …

With PyTorch (--engine torch, or where MXNet is not installed) there are workers alone, and no --kvstore; HOST is where
worker 0 runs:

    python tools/launch.py -n 2 iclass/ilsvrc.py --engine torch --model pets_rna-a1_cls37 …
    python tools/launch.py --role worker --index 1 --root HOST:9091 -n 2 iclass/ilsvrc.py --engine torch …

Every worker gets the same command; on one machine, the cards of its --gpus are divided among the workers, --gpus
0,1,2,3 into 0,1 and 2,3 for two. --batch-images is the batch of all workers together, each of which reads its part of
every epoch; the first writes the run's files into --output, which all must see for --resume. On one machine a job ends
as a whole, within seconds, where one of its processes dies, and says which; a signal is passed on to the workers, which
write a snapshot and end. On a cluster its scheduler must do that (srun --kill-on-bad-exit, for instance); a worker that
waits in vain ends after --stall-minutes.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.launch")

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import BinaryIO, Dict, List, Optional, Sequence, TextIO

from ademxapp.cli import UsageError, make_parser, number
from ademxapp.engine import usual
from ademxapp.engine.mxnet import backend
from ademxapp.errors import SIGNALS, answered_by, leave_terminal

END_SECONDS = 10  # for what should end by itself: servers after the workers, workers after a signal
# Reads the numbers of process groups until the launcher ends, which ends its input, and kills them then.
_GUARD = """trap "" HUP INT TERM; while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -9 "-$group"; done"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a whole job, or one role of it."""
    args = build_parser().parse_args(argv)
    if args.role in (None, "worker") and not args.command:
        raise UsageError("no COMMAND for the workers is given, for instance iclass/ilsvrc.py --kvstore dist_sync …")
    if args.role in ("server", "scheduler") and args.command:
        raise UsageError(f"a {args.role} takes no COMMAND, got {args.command[0]}")
    if args.role and not args.root:
        raise UsageError("--role needs --root HOST:PORT, where the scheduler is")
    if not args.role and (args.root or args.index is not None):
        raise UsageError("--root and --index are for one --role alone")
    engine = engine_of(args.command)
    if args.role:
        return run_role(args, engine)
    host = "127.0.0.1"
    start = [sys.executable, os.path.abspath(__file__), "--root", f"{host}:{free_port(host)}", "-n", str(args.workers),
             "-s", str(args.servers), "--role"]
    roles = {f"worker {index}": ["worker", "--index", str(index), *command]
             for index, command in enumerate(with_own_cards(args.command, args.workers))}
    if engine == "mxnet":
        servers = {f"server {index}": ["server"] for index in range(args.servers)}
        roles = {"scheduler": ["scheduler"], **servers, **roles}
    return Job({name: [*start, *role] for name, role in roles.items()}, {"DMLC_NODE_HOST": host}).run()


def build_parser() -> argparse.ArgumentParser:
    """The program's arguments."""
    parser = make_parser(__doc__)
    parser.add_argument("-n", "--workers", type=number(int, 1), required=True, metavar="N", help="workers of the job")
    parser.add_argument("-s", "--servers", type=number(int, 1), default=1, metavar="N", help="servers of the job")
    parser.add_argument("--role", choices=("worker", "server", "scheduler"),
                        help="run this one alone (default: all, on this machine)")
    parser.add_argument("--root", type=address, metavar="HOST:PORT", help="with --role: where the scheduler listens")
    parser.add_argument("--index", type=number(int, 0), metavar="I", help="with --role worker: its number, from 0; the "
                        "first writes (default: in the order in which they come)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …", help="what each worker runs")
    return parser


def engine_of(command: Sequence[str]) -> str:
    """The engine that a worker's command asks for, or gets where it does not ask."""
    asked = [word.partition("=")[2] or following for word, following in zip(command, [*command[1:], ""])
             if word.partition("=")[0] == "--engine"]
    return asked[-1] if asked else usual() or "mxnet"


def address(text: str) -> str:
    """An argparse type: HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return text


def free_port(host: str) -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def with_own_cards(command: List[str], workers: int) -> List[List[str]]:
    """The command of every worker, with its share of the cards of `--gpus`; UsageError if that cannot be even."""
    places = [place for place, word in enumerate(command) if word == "--gpus" or word.startswith("--gpus=")]
    if not places:
        return [command] * workers
    first = places[-1]  # the last one counts
    end = first + 1 if "=" in command[first] else first + 2
    text = command[first].partition("=")[2] if "=" in command[first] else "".join(command[first + 1:end])
    cards = text.split(",")
    if len(cards) % workers:
        raise UsageError(f"--gpus {text}: {len(cards)} card(s) cannot be divided among {workers} workers, each of "
                         "which needs its own: name a multiple of them, or give another -n")
    share = len(cards) // workers
    return [[*command[:first], "--gpus", ",".join(cards[worker * share:(worker + 1) * share]), *command[end:]]
            for worker in range(workers)]


def run_role(args: argparse.Namespace, engine: str) -> int:
    """Become a worker, a server or the scheduler. Returns only if that fails."""
    host, _, port = args.root.rpartition(":")
    if engine == "torch" and args.role == "worker":
        if args.index is None:
            raise UsageError("PyTorch's workers do not number themselves: --role worker needs --index, 0 on HOST")
        os.environ.update({"MASTER_ADDR": host, "MASTER_PORT": port, "WORLD_SIZE": str(args.workers),
                           "RANK": str(args.index)})
    else:
        own = {"DMLC_WORKER_ID": str(args.index)} if args.role == "worker" and args.index is not None else {}
        os.environ.update({"DMLC_ROLE": args.role, "DMLC_PS_ROOT_URI": host, "DMLC_PS_ROOT_PORT": port,
                           "DMLC_NUM_WORKER": str(args.workers), "DMLC_NUM_SERVER": str(args.servers), **own})
    if args.role == "worker":
        words = [sys.executable, *args.command] if args.command[0].endswith(".py") else args.command
        os.execvp(words[0], words)
    for stop in SIGNALS:  # no Python runs while MXNet serves
        signal.signal(stop, signal.SIG_DFL)
    backend.load()  # MXNet serves when it is imported, and then ends the process
    raise ValueError(f"MXNet did not become a {args.role}")


class Job:
    """A scheduler, servers and workers: {name: command}, with more environment variables.

    `run` gives the job's exit status: 0 when all workers have ended with 0, 128 + the signal that was passed on, else
    that of the first process that failed. No process of the job, nor of theirs, is left then, nor where this process
    is killed.
    """

    def __init__(self, commands: Dict[str, List[str]], environment: Dict[str, str]) -> None:
        self._commands, self._environment = commands, {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._running: Dict[str, subprocess.Popen] = {}
        self._signal: Optional[int] = None
        self._killed = False

    def run(self) -> int:
        """Start all, wait for the end of the workers or of anyone who fails, and end the others."""
        guard = subprocess.Popen(["sh", "-c", _GUARD, "guard"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 start_new_session=True)
        with answered_by(self._pass_on), ThreadPoolExecutor(2 * len(self._commands)) as copies:
            try:
                for name, command in self._commands.items():
                    self._running[name] = subprocess.Popen(
                        command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, start_new_session=True,
                        preexec_fn=lambda: os.write(guard.stdin.fileno(), b"%d\n" % os.getpid()))
                width = max(map(len, self._commands))
                for name, process in self._running.items():
                    for source, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                        copies.submit(_copy, source, f"{name:{width}} | ", out)
                return self._wait()
            finally:
                guard.kill()
                guard.wait()
                self._kill_groups()
                for process in self._running.values():
                    process.wait()

    def _wait(self) -> int:
        """Wait for the job's end, or for that of one that fails, and tell which: the exit status."""
        deadline = float("inf")
        while True:
            statuses = {name: process.poll() for name, process in self._running.items()}
            workers = [status for name, status in statuses.items() if name.startswith("worker")]
            for name, status in statuses.items():
                asked = self._killed or self._signal is not None and status in (-self._signal, 128 + self._signal)
                if status and not asked:
                    killed = f"was killed by {signal.Signals(-status).name}" if status < 0 else ""
                    sys.stderr.write(f"launch.py: error: {name} {killed or f'ended with status {status}'}; without it "
                                     "the others cannot go on, and were ended\n")
                    return status if status > 0 else 128 - status
            # By then should have ended: a worker after a signal and another's end, a server after the workers.
            if None not in workers or self._signal and workers.count(None) < len(workers):
                deadline = min(deadline, time.monotonic() + END_SECONDS)
            if self._killed or None not in (workers if self._signal else statuses.values()) or (
                    time.monotonic() > deadline):
                return 128 + self._signal if self._signal and any(workers) else 0
            time.sleep(0.1)

    def _pass_on(self, number: int, _: Optional[FrameType]) -> None:
        """The first signal goes to the workers; at the second, all are killed."""
        leave_terminal(number)
        if self._signal is not None:
            self._killed = True
            return self._kill_groups()
        self._signal = number
        sys.stderr.write(f"launch.py: {signal.Signals(number).name} is passed on to the workers; a second one kills\n")
        for name, process in self._running.items():
            if name.startswith("worker") and process.poll() is None:
                process.send_signal(number)
        return None

    def _kill_groups(self) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started


def _copy(source: BinaryIO, prefix: str, out: TextIO) -> None:
    """Copy the lines of a pipe, each behind a prefix, to its end; go on reading where they cannot be written."""
    for line in source:
        with contextlib.suppress(OSError):
            out.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
            out.flush()
