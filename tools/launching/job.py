"""Processes that live and die together."""
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import BinaryIO, Dict, List, Optional, Sequence, TextIO

from ademxapp.stopping import heeded, leave_terminal

LOOK_SECONDS = 0.1
END_SECONDS = 10  # for what should end by itself: servers after the workers, workers after a signal
_PR_SET_PDEATHSIG = 1
_GUARD = """read -r _; for group in "$@"; do kill -9 "-$group"; done"""  # its input ends with the launcher


class Job:
    """A scheduler, servers and workers: {name: command}, with more environment variables.

    `run` gives the job's exit status: 0 when all workers have ended with 0, 128 + the signal that was passed on, else
    that of the first process that failed. No process of the job, nor of theirs, is left then, nor where this process
    is killed.
    """

    def __init__(self, commands: Dict[str, List[str]], environment: Dict[str, str]) -> None:
        self._commands, self._environment = commands, {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._running: Dict[str, subprocess.Popen] = {}
        self._copies: List[threading.Thread] = []
        self._guard: Optional[subprocess.Popen] = None
        self._signal: Optional[int] = None
        self._deadline: Optional[float] = None
        self._killed = False

    def run(self) -> int:
        """Start all, wait for the end of the workers or of anyone who fails, and end the others."""
        before = {number: signal.signal(number, self._pass_on) for number in heeded()}
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            die = partial(_die_with, os.getpid(), libc) if hasattr(libc, "prctl") else None
            for name, command in self._commands.items():
                self._running[name] = subprocess.Popen(
                    command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True, preexec_fn=die)
            if die is None:
                self._guard = _start_guard([process.pid for process in self._running.values()])
            width = max(map(len, self._commands))
            for name, process in self._running.items():
                for source, out in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                    self._copies.append(threading.Thread(target=_copy, args=(source, f"{name:{width}} | ", out)))
                    self._copies[-1].start()
            return self._wait()
        finally:
            self._kill()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wait(self) -> int:
        while True:
            statuses = {name: process.poll() for name, process in self._running.items()}
            failed = [(name, status) for name, status in statuses.items() if status and not self._asked(status)]
            workers = [status for name, status in statuses.items() if name.startswith("worker")]
            if failed:
                name, status = failed[0]
                sys.stderr.write(f"launch.py: error: {name} {_how(status)}; without it the others cannot go on, and "
                                 "were ended\n")
                return status if status > 0 else 128 - status
            if self._killed or None not in (workers if self._signal else statuses.values()) or self._late(workers):
                return 128 + self._signal if self._signal and any(workers) else 0
            time.sleep(LOOK_SECONDS)

    def _late(self, workers: Sequence[Optional[int]]) -> bool:
        """Whether somebody should have ended: a worker after a signal and another's end, a server after the workers."""
        if self._deadline is None and (None not in workers or self._signal and workers.count(None) < len(workers)):
            self._deadline = time.monotonic() + END_SECONDS
        return self._deadline is not None and time.monotonic() > self._deadline

    def _asked(self, status: int) -> bool:
        """Whether a process ended as the signal that was passed on asks for."""
        return self._killed or self._signal is not None and status in (-self._signal, 128 + self._signal)

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

    def _kill(self) -> None:
        if self._guard:
            self._guard.kill()
            self._guard.wait()
        self._kill_groups()
        for process in self._running.values():
            process.wait()
        for copy in self._copies:
            copy.join()

    def _kill_groups(self) -> None:
        for process in self._running.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            except ProcessLookupError:
                pass


def _die_with(parent: int, libc: ctypes.CDLL) -> None:
    """In a new process: have the system kill it when its parent ends, however that happens."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _start_guard(groups: Sequence[int]) -> subprocess.Popen:
    """A process that kills process groups when this process ends, where the system (no Linux) would not."""
    return subprocess.Popen(["sh", "-c", _GUARD, "guard", *map(str, groups)], stdin=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, start_new_session=True)


def _copy(source: BinaryIO, prefix: str, out: TextIO) -> None:
    """Copy the lines of a pipe, each behind a prefix, to its end; go on reading where they cannot be written."""
    for line in source:
        try:
            out.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
            out.flush()
        except OSError:
            continue


def _how(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"
