"""Recipes: steps, repetition, what is expected of them."""
import json

import pytest
from worlds import write_data

from ademxapp.cli import UsageError
from ademxapp.weights.parameters import load_parameters
from tools import reproduce

LABEL = "tiny_rna-b1-w0.02_cls2"
RECIPE = """
title: A tiny run
output: FOLDER/first
keep: FOLDER/kept
values: {label: LABEL}
steps:
  - name: training
    run: iclass/ilsvrc.py
    with: {model: "{label}", data-root: "{data}/tiny", output: "{output}", crop-size: 32, cpus: 1, batch-images: 4,
           to-epoch: 2, lr-type: linear, base-lr: 0.001, val-every: 1}
    makes: "{output}/{label}_ep-0002.params"
    log: "{output}/{label}"
    minutes: 1
  - name: test
    run: iclass/ilsvrc.py
    with: {phase: val, weights: "{output}/{label}_ep-0002.params", data-root: "{data}/tiny", split: val,
           test-scales: 32, cpus: 1}
    makes: "{output}/{label}_ep-0002/result.json"
    expect: {top5_error: 0.0}
""".replace("LABEL", LABEL)


def test_a_recipe_run_twice_gives_the_same_scores_and_parameters(tmp_path, capfd, monkeypatch):
    write_data(tmp_path)
    monkeypatch.chdir(reproduce.__file__.rsplit("/", 2)[0])
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("FOLDER", str(tmp_path)))
    for output in ("first", "second"):
        assert reproduce.main(["run", str(path), "--data", str(tmp_path / "data"), "--output",
                               str(tmp_path / output)]) == 0
        said = capfd.readouterr().out
        assert "[1/2] training: to do, about 1 minutes expected" in said and "top5_error 0.00, expected 0.00" in said
    first, second = (tmp_path / name / LABEL for name in ("first", "second"))
    for name, value in load_parameters(f"{first}_ep-0002.params").all.items():
        assert (load_parameters(f"{second}_ep-0002.params").all[name] == value).all()
    scores = [json.loads((tmp_path / name / f"{LABEL}_ep-0002" / "result.json").read_text())["top1_error"]
              for name in ("first", "second")]
    assert scores[0] == scores[1]
    assert reproduce.main(["run", str(path), "--data", str(tmp_path / "data")]) == 0
    said = capfd.readouterr().out
    assert "[1/2] training: done" in said and "[2/2] test: done" in said and "top5_error 0.00" in said
    assert reproduce.main(["keep", str(path)]) == 0
    kept = json.loads((tmp_path / "kept" / f"{LABEL}_ep-0002.json").read_text())
    assert kept["top1_error"] == scores[0] and kept["arguments"]["data_root"] == "…/tiny"
    assert (tmp_path / "kept" / f"{LABEL}.png").read_bytes()[:4] == b"\x89PNG"
    capfd.readouterr()
    assert reproduce.main(["keep", str(path), "--compare", "--output", str(tmp_path / "second")]) == 0
    assert "0 of 2 numbers are others" in capfd.readouterr().out
    result = tmp_path / "second" / f"{LABEL}_ep-0002" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "top1_error": 101.0}))
    assert reproduce.main(["keep", str(path), "--compare", "--output", str(tmp_path / "second")]) == 1
    assert "1 of 2 numbers are others" in capfd.readouterr().out


def test_where_commands_have_gone():
    with pytest.raises(UsageError, match="mini-table1 is now `python tools/reproduce.py show miniature 1`"):
        reproduce.main(["mini-table1", "--speed"])
    with pytest.raises(UsageError, match="figure4 is now `python tools/report.py paths`"):
        reproduce.main(["figure4"])
