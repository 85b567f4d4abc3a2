"""The tools through their commands."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import pack, prepare, report
from tools.reproducing.recipes import Recipe, Step, read_recipe
from tools.reproducing.steps import run_steps

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **options):
    """Run a tool as a user does."""
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, **options)


def test_camvid_lists(data_root, tmp_path, capsys):
    prepare.main(["camvid", "--root", str(data_root / "camvid"), "--out", str(tmp_path)])
    rows = [line.split("\t") for line in (tmp_path / "camvid" / "val.lst").read_text().splitlines()]
    assert len(rows) == 101 and len((tmp_path / "camvid" / "train.lst").read_text().splitlines()) == 367
    assert all((data_root / "camvid" / path).is_file() for row in rows for path in row)
    assert "val.lst: 101 images" in capsys.readouterr().out


def test_tracked_camvid_lists_are_what_prepare_writes(data_root, tmp_path):
    prepare.main(["camvid", "--root", str(data_root / "camvid"), "--out", str(tmp_path), "--no-decode"])
    for split in ("train", "val"):
        tracked = ROOT / "data" / "camvid" / f"{split}.lst"
        assert tracked.read_text() == (tmp_path / "camvid" / f"{split}.lst").read_text()


def test_voc_lists(data_root, tmp_path):
    prepare.main(["voc", "--root", str(data_root / "voc12_subset"), "--out", str(tmp_path)])
    assert len((tmp_path / "voc" / "train.lst").read_text().splitlines()) == 120
    assert len((tmp_path / "voc" / "val.lst").read_text().splitlines()) == 60


@pytest.mark.parametrize("command, status, words", [
    (["tools/prepare.py", "camvid", "--root", "nowhere"], 2, "has no train.txt"),
    (["tools/prepare.py", "atlantis", "--root", "."], 2, "invalid choice"),
    (["tools/report.py", "sheet", "nowhere", "--out", "x.png"], 2, "nowhere"),
    (["tools/reproduce.py", "run", "nowhere.yaml"], 2, "there is no file nowhere.yaml"),
    (["tools/reproduce.py", "run", "setup.cfg"], 1, "setup.cfg is no"),
])
def test_wrong_use_is_one_line(command, status, words):
    done = run(*command)
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr


def test_dry_run_prints_every_command_of_the_recipe():
    done = run("tools/reproduce.py", "run", "recipes/first-run.yaml", "--data", "/data", "--dry-run")
    assert done.returncode == 0
    steps = read_recipe(ROOT / "recipes" / "first-run.yaml").steps
    commands = [line for line in done.stdout.splitlines() if line.startswith("  python ")]
    assert len(commands) == len(steps)
    assert all("{" not in command for command in commands)


def test_steps_that_are_done_are_skipped_and_a_failure_ends_the_run(tmp_path, capsys):
    (tmp_path / "made").write_text("")
    (tmp_path / "fail.py").write_text("import sys; sys.exit(int(sys.argv[2]))")
    steps = tuple(Step(name, str(tmp_path / "fail.py"), f"{{output}}/{made}", {"status": status})
                  for name, made, status in (("first", "made", 5), ("second", "missing", 3), ("third", "other", 4)))
    assert run_steps(Recipe("x.yaml", "out", steps), "data", str(tmp_path)) == 3
    out = capsys.readouterr().out
    assert "first: done" in out and "third" not in out


@pytest.fixture
def tested(tmp_path):
    """A folder of a segmentation test with two images: one all right, one half wrong."""
    truth = np.repeat(np.array([[0, 0, 2, 2]], np.uint8), 4, 0)
    for name, predicted in (("good", truth), ("bad", np.where(truth == 2, 1, truth).astype(np.uint8))):
        Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(truth).save(tmp_path / f"{name}_truth.png")
        for folder, picture in (("", predicted), ("correct", np.where(truth == predicted, 127, 0).astype(np.uint8))):
            (tmp_path / "run" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "run" / folder / f"{name}.png")
    (tmp_path / "val.lst").write_text("good.png\tgood_truth.png\nbad.png\tbad_truth.png\n")
    (tmp_path / "run" / "result.json").write_text(json.dumps({
        "class_iou": [None] * 6, "arguments": {"dataset": "demo", "split": "val", "list": str(tmp_path / "val.lst"),
                                               "data_root": str(tmp_path)}}))
    return tmp_path


@pytest.mark.parametrize("records", [False, True])
def test_sheet_shows_the_worst_image_first(tested, records):
    if records:
        pack.main([str(tested / "val.lst"), "--root", str(tested), "--out", str(tested / "packed")])
        path = tested / "run" / "result.json"
        result = json.loads(path.read_text())
        result["arguments"].update(list=None, records=str(tested / "packed"))
        path.write_text(json.dumps(result))
        (tested / "val.lst").unlink()
    report.main(["sheet", str(tested / "run"), "--images", "2", "--pick", "worst", "--out", str(tested / "sheet.png")])
    sheet = np.asarray(Image.open(tested / "sheet.png").convert("L"))
    upper, lower = np.array_split(sheet[:, -180:], 2)
    assert (upper == 0).mean() > 0.2  # half of the worse image is wrong: black in its difference
    assert (lower == 0).mean() < 0.05


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_demo_reaches_seventy_percent(tmp_path):
    done = run("tools/demo.py", "--output", tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(next(tmp_path.glob("demo_*/result.json")).read_text())
    assert result["images"] >= 50 and result["mean_iou"] >= 70
    assert (tmp_path / "sheet.png").is_file() and "mean IoU" in done.stdout
