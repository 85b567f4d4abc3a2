"""Processes of their own: they end with the program, and leave its signals to it."""
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from ademxapp import processes
from ademxapp.errors import StopRequests, answered_by, heeded
from ademxapp.processes import Pool, Processes

PROGRAM = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever runs the tests may ignore it
sys.path.insert(0, {str(ROOT)!r})
from ademxapp.processes import Processes
with Processes(os.getpgid, 2, "--workers") as both:
    print("there", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("answers", [both("a call", 0) for _ in range(4)] == 4 * [os.getpid()])
"""


@pytest.mark.parametrize("wait", [0, 0.05, 0.3])
def test_a_signal_to_the_group_while_they_start_is_the_programs_alone(wait):
    """As Ctrl-C in the first second of a program that has processes."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as program:
        assert program.stdout.readline() == "there\n"
        time.sleep(wait)
        os.killpg(program.pid, signal.SIGINT)
        assert program.communicate(timeout=60) == ("answers True\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_process_goes_on_when_it_is_asked_to_stop(number):
    with Processes(os.getpid, 1, "--workers") as one:
        pid = one("a call")
        os.kill(pid, number)
        assert one("a call") == pid


def test_the_rest_is_not_waited_for_when_an_item_fails(monkeypatch):
    monkeypatch.setattr(processes, "WORTH_IT", 1)
    began = time.monotonic()
    with Pool(2) as pool, pytest.raises(TypeError):
        list(pool.map(time.sleep, ["no number", 100, 100], "sleeping", 1))
    assert time.monotonic() - began < 50


def test_results_come_in_order_and_the_processes_serve_again(monkeypatch):
    monkeypatch.setattr(processes, "WORTH_IT", 1)
    with Pool(2) as pool:
        assert list(pool.map(abs, range(-40, 0), "counting", 3)) == list(range(40, 0, -1))
        assert list(pool.map(str, range(7), "writing")) == list("0123456")


def test_a_process_that_dies_is_told(monkeypatch):
    monkeypatch.setattr(processes, "WORTH_IT", 1)
    with Pool(2) as pool, pytest.raises(ChildProcessError, match="died .exit status 3. during ending: .*--workers"):
        list(pool.map(os._exit, [3], "ending"))


def test_a_program_under_nohup_does_not_heed_a_lost_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert set(heeded()) == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop = StopRequests()
        with answered_by(stop.note):
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number is None and signal.SIGHUP not in heeded()
    finally:
        signal.signal(signal.SIGHUP, before)
