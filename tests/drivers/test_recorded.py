"""What runs record of their arguments, held to what was recorded when tests/golden/arguments.json was made."""
import json
from pathlib import Path

import pytest
from conftest import ROOT
from recorded import CASES, make_world, recorded

GOLDEN = json.loads((ROOT / "tests" / "golden" / "arguments.json").read_text())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tmp_path_factory.mktemp("recorded")


def test_all_runs_record_their_arguments_as_they_did(world, monkeypatch):
    monkeypatch.chdir(world)
    make_world()
    for name, case in CASES.items():
        assert recorded(*case) == GOLDEN[name], name
    assert set(CASES) == set(GOLDEN) and not list(Path("output").rglob(".part-*"))
