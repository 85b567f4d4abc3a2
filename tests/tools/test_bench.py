"""All measurements in turn, and how they are shown."""
import json

import pytest
from conftest import ROOT

from ademxapp.cli import UsageError
from tools.benchmarks import comparison
from tools.benchmarks.comparison import Comparison, as_text


def found(**changes):
    """A comparison as a measurement prints it."""
    return Comparison(**{"what": "fast way", "against": "plain way", "rates": (4.0, 5.0, 6.0),
                         "other_rates": (2.0, 2.0, 2.0), "asked": 2.0, "remark": "", **changes}).record()


def test_the_table_has_what_was_found():
    text = as_text([found(), found(what="slow way", asked=3.0, remark="it has a limit"),
                    found(what="as it is", asked=None)], True)
    assert "| fast way | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | 2.0 | yes |" in text
    assert "| slow way | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | 3.0 | **no** |" in text
    assert "| as it is | plain way | 5 | 2 | 2.50 | 2.00 … 3.00 | – | – |" in text
    assert text.endswith("\n\n- slow way: it has a limit.")


def test_what_fails_is_told_and_the_rest_is_kept(tmp_path, monkeypatch, capfd):
    program = tmp_path / "bench.py"
    program.write_text(f"import sys\nprint({json.dumps(json.dumps([found()]))})\nsys.exit(sys.argv[1] == 'bad')\n")
    monkeypatch.setattr(comparison, "PROGRAM", str(program))
    kept = tmp_path / "speed"
    kept.mkdir()
    (kept / "bad.json").write_text("{}")
    assert comparison.run(["good", "bad"], None, str(kept)) == 1
    assert "bad failed with exit status 1" in capfd.readouterr().err
    assert [path.name for path in kept.iterdir()] == ["good.json"]
    program.write_text(program.read_text().replace("fast way", "other way"))
    assert comparison.run(["good", "bad"], "good", str(kept)) == 0
    assert json.loads((kept / "good.json").read_text())["found"][0]["what"] == "other way"
    with pytest.raises(UsageError, match="--only best: there are good, bad"):
        comparison.run(["good", "bad"], "best", str(kept))


def test_the_program_is_there():
    assert (ROOT / comparison.PROGRAM).is_file()
