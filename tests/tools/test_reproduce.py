"""Recipes: stages, repetition, what is expected of them."""
import json

from worlds import write_data

from ademxapp.weights.parameters import load_parameters
from tools import reproduce

LABEL = "tiny_rna-b1-w0.02_cls2"
RECIPE = f"""
title: A tiny run
output: "{{folder}}/first"
stages:
  - name: training
    command: >
      iclass/ilsvrc.py --model {LABEL} --data-root {{{{data}}}}/tiny --output {{{{output}}}} --crop-size 32 --cpus 1
      --batch-images 4 --to-epoch 2 --lr-type linear --base-lr 0.001 --val-every 1
    makes: "{{{{output}}}}/{LABEL}_ep-0002.params"
    log: "{{{{output}}}}/{LABEL}"
    minutes: 1
  - name: test
    command: >
      iclass/ilsvrc.py --phase val --weights {{{{output}}}}/{LABEL}_ep-0002.params --data-root {{{{data}}}}/tiny
      --split val --test-scales 32 --cpus 1
    makes: "{{{{output}}}}/{LABEL}_ep-0002/result.json"
    expect: {{{{top5_error: 0.0}}}}
"""


def test_a_recipe_run_twice_gives_the_same_scores_and_parameters(tmp_path, capfd, monkeypatch):
    write_data(tmp_path)
    monkeypatch.chdir(reproduce.__file__.rsplit("/", 2)[0])
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(folder=tmp_path).replace("{{", "{").replace("}}", "}"))
    for output in ("first", "second"):
        assert reproduce.main(["run", str(path), "--data", str(tmp_path / "data"), "--output",
                               str(tmp_path / output)]) == 0
        said = capfd.readouterr().out
        assert "[1/2] training: about 1 minutes expected" in said and "top5_error 0.00, expected 0.00" in said
    first, second = (tmp_path / name / LABEL for name in ("first", "second"))
    for name, value in load_parameters(f"{first}_ep-0002.params").all.items():
        assert (load_parameters(f"{second}_ep-0002.params").all[name] == value).all()
    scores = [json.loads((tmp_path / name / f"{LABEL}_ep-0002" / "result.json").read_text())["top1_error"]
              for name in ("first", "second")]
    assert scores[0] == scores[1]
    assert reproduce.main(["run", str(path), "--data", str(tmp_path / "data")]) == 0
    said = capfd.readouterr().out
    assert "[1/2] training: done" in said and "[2/2] test: done" in said and "top5_error 0.00" in said
    assert reproduce.main(["page", str(path), "--out", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text()
    assert "**Top-1 accuracy" in page and f"![learning curves](page/{LABEL}.png)" in page
