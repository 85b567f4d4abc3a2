"""The miniature: rows are run, kept, and told; what the page says follows from them."""
import json

import pytest
from conftest import ROOT

from tools import reproduce
from tools.reproducing import miniature
from tools.reproducing.miniature import Network

RECIPE = """
title: A miniature
threads: 1
keep: "{results}"
output: "{output}"
for:
  - {{row: b-0, network: rna-b, seed: 0, crop: 112, test: 160, dense: rna-b, epoch: 6}}
  - {{row: a-0, network: rna-a, seed: 0, crop: 112, test: 160, dense: rna-a, epoch: 6}}
  - {{row: a1-0, after: a-0, seed: 0, crop: 112, test: 160, tuned: rna-a1, dense: rna-a1, epoch: 1}}
steps:
  - name: "{{network}}, training"
    when: network
    run: "{script} {{output}}"
    with: {{model: "imagenette128_{{network}}-w0.125_cls10_seed{{seed}}", batch-images: 2, crop-size: 64}}
    makes: "{{output}}/imagenette128_{{network}}-w0.125_cls10_seed{{seed}}/result.json"
    log: "{{output}}/imagenette128_{{network}}-w0.125_cls10_seed{{seed}}"
  - name: "{{tuned}}, tuning"
    when: tuned
    run: "{script} {{output}}"
    with: {{model: "imagenette128_{{tuned}}-w0.125_cls10_seed{{seed}}", after: rna-a, batch-images: 2, crop-size: 64}}
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
    recipe.write_text(RECIPE.format(output=tmp_path / "out", script=script, results=results))

    def run(command, *arguments):
        return reproduce.main([command, str(recipe), *arguments])

    def rows():
        miniature.kept_rows.cache_clear()
        return miniature.kept_rows(str(recipe))[1]
    run.folder, run.recipe, run.rows = tmp_path, recipe, rows
    yield run
    miniature.kept_rows.cache_clear()


def test_items_are_run_side_by_side_and_kept(mini, capsys):
    assert mini("run", "--data", "d", "--jobs", "2") == 0
    assert "a1-0: started, " in capsys.readouterr().out
    assert mini("keep") == 0
    rows = mini.rows()
    assert list(rows) == ["b-0", "a-0", "a1-0"]
    label = "imagenette128_rna-a1-w0.125_cls10_seed0"
    assert rows["a1-0"]["tests"] == [{"label": label, "top1_error": 41.0 + len(label), "top5_error": 9.0, "images": 4}]
    assert rows["a1-0"]["processor_minutes"] == 6.5
    assert rows["a1-0"]["trainings"][0]["losses"] == [1.5]
    assert mini("run", "--data", "d", "--dry-run") == 0
    assert capsys.readouterr().out.count(": done") == 3


def test_an_item_that_fails_is_told_and_the_others_go_on(mini, capsys):
    (mini.folder / "out.fails").touch()
    assert mini("run", "--data", "d", "--jobs", "2") == 1
    assert "b-0: failed with exit status 1" in capsys.readouterr().err
    assert mini("keep", "--only", "a-0,a1-0") == 0
    assert list(mini.rows()) == ["a-0", "a1-0"]


def test_a_row_whose_commands_have_changed_counts_no_more(mini):
    assert mini("run", "--data", "d", "--only", "b-0") == 0 and mini("keep", "--only", "b-0") == 0
    assert list(mini.rows()) == ["b-0"]
    mini.recipe.write_text(mini.recipe.read_text().replace("threads: 1", "threads: 2"))
    assert not mini.rows()


@pytest.mark.parametrize("loss, different", [(1.5, 0), (1.25, 1)])
def test_a_row_is_trained_again_and_compared(mini, capsys, loss, different):
    assert mini("run", "--data", "d") == 0 and mini("keep") == 0
    (mini.folder / "train.py").write_text(PROGRAM.replace('"loss": 1.5', f'"loss": {loss}'))
    again = ["--only", "b-0", "--output", str(mini.folder / "again")]
    assert mini("run", "--data", "d", *again) == 0
    assert mini("keep", "--compare", *again) == different
    assert f"{different} of 4 numbers are others" in capsys.readouterr().out
    assert mini.rows()["b-0"]["trainings"][0]["losses"] == [1.5]


def test_blocks_tell_what_there_is(mini):
    assert mini("run", "--data", "d", "--only", "b-0,a-0") == 0 and mini("keep", "--only", "b-0,a-0") == 0
    mini.rows()
    table, claims = miniature.block("1", str(mini.recipe)), miniature.claims(str(mini.recipe))
    assert "| Model A1 (strided) | – | – | 1.65 |" in table and "| Model B | 79.00 | 9.00 | 1.24 |" in table
    assert "the much deeper ResNet-152 | 19.2 / 21.8 | – | – | not trained yet |" in claims
    assert "| a1-0 | not trained yet | not trained yet |" in miniature.times(str(mini.recipe))


@pytest.mark.parametrize("first, second, relation, said", [
    ([70.0], [60.0], "better", "yes: the first is better by 10.0 points, one seed"),
    ([60.0], [70.0], "better", "no: the second is better by 10.0 points, one seed"),
    ([60.0, 64.0], [63.0, 65.0], "better", "open: no difference beyond the seeds' (2.0 points, seeds 4.0 apart)"),
    ([60.0, 61.0], [63.0, 65.0], "no better", "yes: the second is better by 3.5 points, seeds 2.0 apart"),
    ([65.0, 64.0], [63.0, 62.5], "no better", "no: the first is better by 1.8 points, seeds 1.0 apart"),
    ([60.0], [60.0], "no worse", "yes: the second is better by 0.0 points, one seed"),
    ([59.0], [60.0], "no worse", "no: the second is better by 1.0 points, one seed"),
    ([60.0], [60.0], "as good", "yes: the second is better by 0.0 points, one seed"),
    ([90.0], [60.0], "as good", "more than that: the first is better by 30.0 points, one seed"),
    ([50.0], [60.0], "as good", "no: the second is better by 10.0 points, one seed")])
def test_what_is_said_of_a_claim(first, second, relation, said):
    networks = [Network(name, name, "1conv", {"mean_iou": seeds}) for name, seeds in (("x", first), ("y", second))]
    assert miniature.verdict(*networks, "mean_iou", relation) == said


def test_lower_errors_are_better():
    networks = [Network(name, name, None, {"top1_error": [error]}) for name, error in (("x", 20.0), ("y", 30.0))]
    assert miniature.verdict(*networks, "top1_error", "better").startswith("yes")
    assert networks[0].text("top1_error") == "20.00"


def test_speeds_are_costs():
    networks = [Network(name, name, None, {}, {"speed_ratio": speed}) for name, speed in (("x", 0.81), ("y", 1.0))]
    assert miniature.verdict(*networks, "speed_ratio", "no worse") == "no: the second is better by 0.19"


def test_figures_are_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    miniature.draw_costs(str(tmp_path / "costs.png"), "1")
    miniature.draw_curves(str(tmp_path / "curves.png"))
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in ("costs.png", "curves.png"))


def test_the_kept_rows_are_those_of_the_recipe(monkeypatch):
    monkeypatch.chdir(ROOT)
    kept = json.loads((ROOT / "docs/results/miniature/rows.json").read_text())
    assert set(miniature.kept_rows()[1]) == set(kept)
