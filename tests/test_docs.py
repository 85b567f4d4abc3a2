"""The figures in the pages are those of the files that the runs wrote."""
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT

from ademxapp.files import read_json
from tools import reproduce
from tools.reproducing import pages
from tools.reproducing.recipes import read_recipe
from tools.reproducing.steps import kept_name

RESULTS = ROOT / "docs" / "results"


def test_pages_have_the_kept_results_and_their_links_lead_somewhere(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert reproduce.main(["pages", "--check"]) == 0, capsys.readouterr().err


def test_a_check_tells_what_is_stale_and_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = tmp_path / "page.md"
    stale = ("IoU <!-- value: score first-run/camvid_rna-a1-w0.125_cls11_s8_ep-0055 mean_iou -->99.99<!-- end --> %, "
             'poles <!-- value: score trials/train640 "IoU of pole" 1 -->99.9<!-- end -->, '
             "[gone](gone.md)\n\n<!-- table: types dtypes --><!-- end -->\n")
    page.write_text(stale)
    assert reproduce.main(["pages", "--check", str(page)]) == 1
    said = capsys.readouterr().err
    assert "mean_iou: is not what the kept results say" in said and "types dtypes: is not" in said
    assert "gone.md leads nowhere" in said and page.read_text() == stale
    assert reproduce.main(["pages", str(page)]) == 0
    assert "-->57.76<!-- end -->" in page.read_text() and "-->28.2<!-- end -->" in page.read_text()
    assert "| int8 | top-1 85.81 | 0.07 |" in page.read_text()
    (tmp_path / "gone.md").touch()
    assert reproduce.main(["pages", "--check", str(page)]) == 0
    page.write_text("<!-- table: tipes --><!-- end --> (/home/x)")
    with pytest.raises(ValueError, match="there is no table tipes: there are commands, "):
        reproduce.main(["pages", str(page)])


@pytest.mark.parametrize("block", ["classes-of", "comparison", "types"])
def test_a_result_that_is_not_kept_is_named(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(pages, "read_recipe", lambda path: replace(read_recipe(path), keep="nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere/camvid_"):
        pages.BLOCKS[block]("testing")


@pytest.mark.parametrize("name", ["first-run", "earlier-run", "testing", "dtypes"])
def test_recipes_expect_what_came_out(name):
    recipe = read_recipe(str(ROOT / "recipes" / f"{name}.yaml"))
    for step in recipe.steps:
        if step.is_test:
            found = read_json(str(ROOT / recipe.keep / f"{kept_name(step)}.json"))
            assert step.expect == {key: round(found[key], 2) for key in step.expect}, step.name


def test_the_earlier_first_runs_figures():
    notes = " ".join((RESULTS / "first-run.md").read_text().split())
    files = (RESULTS / "first-run" / "earlier").iterdir()
    found = {path.name.split("_")[0]: json.loads(path.read_text()) for path in files}
    assert f"had {100 - found['imagenette128']['top1_error']:.2f} % top-1" in notes
    iou = found["camvid"]["class_iou"]
    assert iou[2] == 0 and f"{iou[6]:.0f} % of signs" in notes
    assert f"mean IoU of {found['camvid']['mean_iou']:.2f} % at one scale, with nothing of poles" in notes
    iou = json.loads((RESULTS / "first-run" / "camvid_rna-a1-w0.125_cls11_s8_ep-0055.json").read_text())["class_iou"]
    assert f"found {iou[2]:.0f} % of the poles and {iou[6]:.0f} % of the signs" in notes


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for pattern in (
    "*.md", "docs/*.md", "i*/*.py", "tools/*.py") for path in ROOT.glob(pattern)))
def test_examples_test_the_checkpoint_that_they_train(path):
    text = (ROOT / path).read_text(encoding="utf-8").replace("\\", " ")
    epochs = dict(re.findall(r"--model (\S+) (?:(?!python )[^`#])*?--to-epoch (\d+)", text))
    for label, epoch in re.findall(r"output/([a-z][\w.-]*?)_ep-(\d{4})", text):
        assert int(epoch) == int(epochs.get(label, epoch)), f"{label} is trained for {epochs[label]} epochs"


def test_no_file_has_the_place_of_a_machine():
    for path in [*Path(ROOT, "docs").rglob("*.json"), *Path(ROOT, "recipes").rglob("*.yaml")]:
        assert not any(f"{sign}/{place}/" in path.read_text() for sign in '" (=' for place in (
            "work", "home", "root", "tmp", "usr", "mnt")), path
