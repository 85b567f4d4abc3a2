"""What users read when something fails: one line, that says what to do."""
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from ademxapp.errors import one_line
from ademxapp.files import write_text

EXHAUSTED = """
import resource

def main():
    from ademxapp.engine.mxnet.backend import mx
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2 ** 30,) * 2)
    zeros = mx.nd.zeros((2 ** 15, 2 ** 15))
    main.kept = [zeros + 1, zeros + 2]  # which fail too, and would tell it in a traceback at the end
    (zeros + 3).wait_to_read()
"""


def test_memory_that_is_not_there_is_told_in_one_line_with_what_needs_less(tmp_path):
    (tmp_path / "exhausted.py").write_text(EXHAUSTED)
    done = subprocess.run([sys.executable, "-c", "import sys; sys.argv = ['voc.py']; from ademxapp.cli import run; "
                           "run('exhausted')"], cwd=ROOT, capture_output=True, text=True, timeout=100,
                          env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"})
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("voc.py: error: Failed to allocate CPU Memory: less is needed with a smaller "
                                  "--batch-images or --crop-size, with --backward-do-mirror")
    assert "--window" in done.stderr


@pytest.mark.parametrize("error", [
    MemoryError(), MemoryError("Unable to allocate 4.00 GiB for an array with shape (4, 1) and data type float32"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    RuntimeError("MXNetError: cudaMalloc retry failed: out of memory")])
def test_every_librarys_words_for_it_are_known(error):
    assert "--batch-images" in one_line(error)


def test_a_folder_where_nothing_may_be_written_is_told_by_the_final_name(tmp_path, monkeypatch):
    def refused(path, mode="r", **_):
        raise PermissionError(13, "Permission denied", path)
    monkeypatch.setattr("builtins.open", refused)  # for root, every folder is its own
    with pytest.raises(PermissionError) as caught:
        write_text(str(tmp_path / "result.json"), "x")
    assert one_line(caught.value) == f"{tmp_path}/result.json: Permission denied"


def test_other_errors_are_told_as_they_are():
    assert one_line(ValueError("the list\nis empty")) == "the list is empty"
