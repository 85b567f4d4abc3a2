"""What runs record of their arguments, held to what was recorded when tests/golden/arguments.json was made."""
import json
from pathlib import Path

import pytest
from conftest import ROOT
from recorded import CASES, make_world, recorded

from ademxapp.evaluation import dense

GOLDEN = json.loads((ROOT / "tests" / "golden" / "arguments.json").read_text())


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_world()
    return tmp_path


@pytest.mark.parametrize("with_crf", [False, pytest.param(True, marks=pytest.mark.skipif(
    not dense.crf_available(), reason="pydensecrf is not installed"))], ids=["without a CRF", "with a CRF"])
def test_all_runs_record_their_arguments_as_they_did(world, with_crf):
    for name, case in CASES.items():
        if with_crf == ("--crf " in case[1]):
            assert recorded(*case) == GOLDEN[name], name
    assert set(CASES) == set(GOLDEN) and not list(Path("output").rglob(".part-*"))
