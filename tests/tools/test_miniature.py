"""The miniature: rows are run, kept, and told; what the page says follows from them."""
import json
import re

import pytest
from conftest import ROOT

from ademxapp.cli import UsageError
from tools import reproduce
from tools.reproducing import miniature_page
from tools.reproducing.miniature import read_rows
from tools.reproducing.miniature_tables import Network, score_text

RECIPE = """
title: A miniature
about: Two networks.
threads: 1
minutes: 5
output: "{output}"
for:
  - {{row: b-0, network: rna-b, seed: 0, crop: 112, test: 160, dense: rna-b, epoch: 6}}
  - {{row: a-0, network: rna-a, seed: 0, crop: 112, test: 160, dense: rna-a, epoch: 6}}
  - {{row: a1-0, after: a-0, seed: 0, crop: 112, test: 160, tuned: rna-a1, dense: rna-a1, epoch: 1}}
stages:
  - name: "{{network}}, training"
    when: network
    command: "{script} {{output}} --model imagenette128_{{network}}-w0.125_cls10_seed{{seed}} --batch-images 2
      --crop-size 64"
    makes: "{{output}}/imagenette128_{{network}}-w0.125_cls10_seed{{seed}}/result.json"
    log: "{{output}}/imagenette128_{{network}}-w0.125_cls10_seed{{seed}}"
  - name: "{{tuned}}, tuning"
    when: tuned
    command: "{script} {{output}} --model imagenette128_{{tuned}}-w0.125_cls10_seed{{seed}} --after rna-a
      --batch-images 2 --crop-size 64"
    makes: "{{output}}/imagenette128_{{tuned}}-w0.125_cls10_seed{{seed}}/result.json"
    log: "{{output}}/imagenette128_{{tuned}}-w0.125_cls10_seed{{seed}}"
"""
PROGRAM = """
import json, os, pathlib, sys
folder, label = pathlib.Path(sys.argv[1]), sys.argv[3]
if "--after" in sys.argv and not (folder / label.replace("rna-a1", "rna-a") / "result.json").exists():
    sys.exit("what it starts from is not there")
if pathlib.Path(f"{folder}.fails").exists() and "rna-b" in label:
    sys.exit("no luck")
(folder / label).mkdir(parents=True)
report = {"epoch": 6, "batch": 4, "loss": 1.5, "accuracy": 0.5, "lr": 0.1, "images_per_s": 9.0}
pathlib.Path(f"{folder}/{label}.jsonl").write_text(json.dumps(report) + "\\n")
pathlib.Path(f"{folder}/{label}.log").write_text("trained in 0:09:00, 0:06:30 of it on the processors\\n")
(folder / label / "result.json").write_text(json.dumps({
    "label": label, "top1_error": 40.0 + len(label) + int(os.environ["OMP_NUM_THREADS"]), "top5_error": 9.0,
    "images": 4, "images_per_second": 1 / 30, "versions": {"mxnet": "1.9.1"}}))
"""


@pytest.fixture
def mini(tmp_path, monkeypatch):
    """A function that runs `reproduce.py` with a small recipe, and the folder of its files."""
    monkeypatch.chdir(ROOT)
    script, recipe, results = tmp_path / "train.py", tmp_path / "mini.yaml", tmp_path / "kept" / "rows.json"
    script.write_text(PROGRAM)
    recipe.write_text(RECIPE.format(output=tmp_path / "out", script=script))

    def run(command, *arguments):
        return reproduce.main([command, "--recipe", str(recipe), "--results", str(results), *arguments])
    run.folder, run.recipe, run.results = tmp_path, recipe, results
    return run


def test_rows_are_run_in_their_order_and_kept(mini, capsys):
    assert mini("mini", "--data", "d", "--jobs", "2") == 0
    assert "0 of 3 rows are done; to do: b-0, a-0, a1-0" in capsys.readouterr().out
    rows = read_rows(str(mini.results), str(mini.recipe))
    assert list(rows) == ["b-0", "a-0", "a1-0"]
    label = "imagenette128_rna-a1-w0.125_cls10_seed0"
    assert rows["a1-0"]["tests"] == [{"label": label, "top1_error": 41.0 + len(label), "top5_error": 9.0, "images": 4}]
    assert rows["a1-0"]["processor_minutes"] == 6.5
    assert rows["a1-0"]["trainings"][0]["losses"] == [1.5]
    assert mini("mini", "--data", "d") == 0
    assert "3 of 3 rows are done; to do: none" in capsys.readouterr().out


def test_a_row_that_fails_is_told_and_the_others_are_kept(mini, capsys):
    (mini.folder / "out.fails").touch()
    assert mini("mini", "--data", "d", "--jobs", "1") == 1
    assert "b-0: failed with exit status 1" in capsys.readouterr().err
    assert list(read_rows(str(mini.results), str(mini.recipe))) == ["a-0", "a1-0"]


def test_a_row_whose_commands_have_changed_is_to_be_done_again(mini, capsys):
    assert mini("mini", "--data", "d", "--only", "b-0") == 0
    mini.recipe.write_text(mini.recipe.read_text().replace("threads: 1", "threads: 2"))
    assert mini("mini", "--dry-run") == 0
    assert "to do: b-0, a-0, a1-0" in capsys.readouterr().out


@pytest.mark.parametrize("loss, different", [(1.5, 0), (1.25, 1)])
def test_a_row_is_trained_again_and_compared(mini, capsys, loss, different):
    assert mini("mini", "--data", "d") == 0
    (mini.folder / "train.py").write_text(PROGRAM.replace('"loss": 1.5', f'"loss": {loss}'))
    assert mini("mini-again", "a1-0", "--data", "d") == different
    assert f"a1-0: {different} of 4 numbers are others" in capsys.readouterr().out
    assert not (mini.folder / "out" / "again" / "a1-0").exists()
    assert read_rows(str(mini.results), str(mini.recipe))["a1-0"]["trainings"][0]["losses"] == [1.5]
    mini("mini-page", "--out", str(mini.folder / "page.md"))
    said = "1 are others" if different else "all are the same"
    assert f"of its 4 scores, losses and accuracies {said}." in (mini.folder / "page.md").read_text()


def test_only_rows_that_are_done_are_trained_again(mini):
    with pytest.raises(UsageError, match="row b-0 is not done; done are none"):
        mini("mini-again", "b-0", "--data", "d")


def test_tables_and_page_tell_what_there_is(mini, capsys):
    assert mini("mini", "--data", "d", "--only", "b-0,a-0") == 0
    assert mini("mini-table1", "--format", "markdown") == 0
    table = capsys.readouterr().out
    assert "| Model A1 (strided) | not trained yet |" in table and "| Model B | 79.00 | 9.00 | 1.24 |" in table
    assert mini("mini-page", "--out", str(mini.folder / "page.md")) == 0
    page = (mini.folder / "page.md").read_text()
    assert "Rows that are done: 2 of 3. Not yet: a1-0." in page
    assert "trainings took 6.5 to 6.5 minutes of processor time (the longest is b-0), 13 in all; its tests at most " \
        "2.0 minutes by the clock." in page
    assert "Allowed are 5 minutes of two cores for a row; longer took b-0, a-0." in page
    assert "Rows that are not done leave this open: Model A classifies better than the much deeper ResNet-152; " in page
    assert re.search(r"than the much deeper ResNet-152 \| 19.2 / 21.8 \| – \| – \| not trained yet", page)
    assert all((mini.folder / "page" / name).stat().st_size > 1000 for name in ("table1.png", "table2.png",
                                                                               "curves.png"))


def test_the_tables_own_commands_have_them_too(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert reproduce.main(["mini-table2"]) == 0
    table = capsys.readouterr().out
    assert reproduce.main(["table2", "--mini"]) == 0
    assert capsys.readouterr().out == table and "Model B, 1 conv." in table
    with pytest.raises(UsageError, match="--mini: table3 has no miniature"):
        reproduce.main(["table3", "--mini"])


@pytest.mark.parametrize("first, second, relation, said", [
    ([70.0], [60.0], "better", "yes: the first is better by 10.0 points, one seed"),
    ([60.0], [70.0], "better", "no: the second is better by 10.0 points, one seed"),
    ([60.0, 64.0], [63.0, 65.0], "better", "no difference beyond the seeds' (2.0 points, seeds 4.0 apart)"),
    ([60.0, 61.0], [63.0, 65.0], "no better", "yes: the second is better by 3.5 points, seeds 2.0 apart"),
    ([65.0, 64.0], [63.0, 62.5], "no better", "no: the first is better by 1.8 points, seeds 1.0 apart"),
    ([60.0], [60.0], "no worse", "yes: neither is better by 0.0 points, one seed"),
    ([59.0], [60.0], "no worse", "no: the second is better by 1.0 points, one seed"),
    ([60.0], [], "better", "not trained yet")])
def test_what_a_page_says_of_a_claim(first, second, relation, said):
    claim = miniature_page.Claim("c", ("x", "1conv"), ("y", "1conv"), "mean_iou", (2, 1), relation)
    networks = [Network(name, name, "1conv", {"mean_iou": seeds} if seeds else {})
                for name, seeds in (("x", first), ("y", second))]
    assert miniature_page.verdict(claim, *networks) == said


def test_lower_errors_are_better():
    claim = miniature_page.Claim("c", ("x", None), ("y", None), "top1_error", (1, 2))
    networks = [Network(name, name, None, {"top1_error": [error]}) for name, error in (("x", 20.0), ("y", 30.0))]
    assert miniature_page.verdict(claim, *networks).startswith("yes")
    assert score_text(networks[0], "top1_error") == "20.00"


def test_the_kept_rows_are_those_of_the_recipe():
    kept = json.loads((ROOT / "docs/results/miniature/rows.json").read_text())
    assert set(read_rows(str(ROOT / "docs/results/miniature/rows.json"), str(ROOT / "recipes/miniature.yaml"))) \
        == set(kept)
