"""The page of all measurements."""
import argparse
import json

import pytest
from conftest import ROOT

from ademxapp.cli import UsageError
from tools.benchmarks import speed_page
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.speed_page import measure, page


def found(**changes):
    """A comparison as a measurement prints it."""
    return Comparison(**{"what": "fast way", "against": "plain way", "rates": (4.0, 5.0, 6.0),
                         "other_rates": (2.0, 2.0, 2.0), "asked": 2.0, "remark": "", **changes}).record()


def test_the_page_has_what_was_found():
    kept = {"reading": {"machine": "a machine", "seconds": 7, "found": [
        found(), found(what="slow way", asked=3.0, remark="it has a limit"), found(what="as it is", asked=None)]},
        "networks": {"machine": "a machine", "seconds": 9, "found": {"reference": "rn-101", "networks": [
            {"network": "rn-101", "images": 1, "crop": 320, "images_per_second": 2.0, "ratio": 1.0, "paper": 73.2},
            {"network": "rna-a", "images": 1, "crop": 320, "images_per_second": 0.5, "ratio": 0.25, "paper": 21.7}]}}}
    text = page(kept, ["step"], "docs/speed.md")
    assert text.count("a machine") == 1 and "Failed, or not measured: step." in text
    assert "| fast way | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | 2.0 | yes |" in text
    assert "| slow way | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | 3.0 | **no** |" in text
    assert "| as it is | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | – | – |" in text
    assert "- slow way: it has a limit." in text
    assert "| rna-a | 1 x 320x320 | 0.5 | 0.25 | 0.30 |" in text
    assert "reading 7 s, networks 9 s" in text and "`docs/speed/`" in text


def test_what_fails_is_told_and_the_rest_is_kept(tmp_path, monkeypatch, capfd):
    program = tmp_path / "bench.py"
    program.write_text(f"import sys\nprint({json.dumps(json.dumps([found()]))})\nsys.exit(sys.argv[1] == 'bad')\n")
    monkeypatch.setattr(speed_page, "PROGRAM", str(program))
    args = argparse.Namespace(output=str(tmp_path / "speed.md"), only=None, page=False)
    assert measure(args, ["good", "bad"]) == 1
    assert "bad failed with exit status 1" in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "speed").iterdir()) == ["good.json"]
    assert "Failed, or not measured: bad." in (tmp_path / "speed.md").read_text()
    program.write_text(program.read_text().replace("fast way", "other way"))
    args.only = "good"
    assert measure(args, ["good", "bad"]) == 0 and "| other way |" in (tmp_path / "speed.md").read_text()
    args.page = True
    program.unlink()
    assert measure(args, ["good", "bad"]) == 0 and "| other way |" in (tmp_path / "speed.md").read_text()
    args.only = "best"
    with pytest.raises(UsageError, match="--only best: there are good, bad"):
        measure(args, ["good", "bad"])


def test_the_program_is_there():
    assert (ROOT / speed_page.PROGRAM).is_file()
