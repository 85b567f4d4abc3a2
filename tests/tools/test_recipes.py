"""The paper's recipes: every command is one that its program takes, and every stage starts from what there is."""
import importlib
import os
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from ademxapp import cli
from ademxapp.cli import UsageError
from ademxapp.symbol import label_epoch, network, output_stride, parse_label
from iclass.datasets import dataset_record as classification_record
from issegm.datasets import dataset_record as segmentation_record
from tools import reproduce
from tools.reproducing.recipes import read_recipe

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


class Parsed(Exception):
    """A program's arguments, instead of what it does with them."""


@pytest.fixture
def parse(monkeypatch):
    """A function from a command (list of str) to the arguments that its program makes of it."""
    def stop(parser, argv=None, namespace=None):
        raise Parsed(cli.argparse.ArgumentParser.parse_args(parser, argv, namespace))

    monkeypatch.setattr(cli.Parser, "parse_args", stop)

    def parse(command):
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(command[0][:-len(".py")].replace("/", ".")).main(command[1:])
        return parsed.value.args[0]
    return parse


def write(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).touch()


def in_place(text):
    return text.format(data="data", output="out")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_stage_can_run(path, parse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(str(path))
    for needed in recipe["needs"]:
        if needed.endswith(".params"):
            write(in_place(needed))
    for stage in recipe["stages"]:
        command = [in_place(part) for part in shlex.split(stage["command"])]
        assert not re.search(r"[{}]", " ".join(command))
        for name in command:
            if name.endswith(".params"):
                assert os.path.exists(name), f"{stage['name']}: no stage before makes {name}, and `needs` lacks it"
        args = parse(command)
        if command[0] in ("iclass/ilsvrc.py", "issegm/voc.py"):
            check_run(stage, args, in_place(stage["makes"]))
        write(in_place(stage["makes"]))


def check_run(stage, args, makes):
    """A driver's label is known to the zoo and its dataset's record; what it writes is what the stage makes."""
    stem = args.model or os.path.splitext(os.path.basename(args.weights))[0]
    label, segmentation = parse_label(stem), hasattr(args, "head")
    network(label.network)
    (segmentation_record if segmentation else classification_record)(label.dataset, label.classes)
    if segmentation:
        assert output_stride(label) == 8
    if args.phase == "train":
        assert makes == f"{args.output}/{args.model}_ep-{args.to_epoch:04d}.params"
        assert in_place(stage["log"]) == f"{args.output}/{args.model}"
        if args.lr_type == "linear" and segmentation and args.gpus:
            assert label_epoch(args.weights) is not None and args.base_lr == 0.0008
    else:
        folder = args.output or os.path.dirname(args.weights)
        parts = [stem] + ([] if args.split == "val" else [args.split]) + ([args.tag] if args.tag else [])
        assert makes.startswith(f"{folder}/{'_'.join(parts)}") and makes.endswith("/result.json")
        assert label_epoch(args.weights) is not None


RECIPE = """
title: x
output: out
needs: {"models/{network}.params": "{how}"}
for:
  - {network: a, how: buy, paper: {mean_iou: 1.5}}
  - {network: b, how: make, paper: {}}
stages:
  - {name: lists, command: "tools/prepare.py demo --root {data}/demo", makes: data/demo/val.lst}
  - {name: "{network}, test", command: "x.py --weights models/{network}.params", makes: "{output}/{network}",
     paper: "{paper}"}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_stages_are_written_out_for_every_item(recipe):
    found = read_recipe(recipe)
    assert [stage["name"] for stage in found["stages"]] == ["lists", "a, test", "b, test"]
    assert found["stages"][1]["paper"] == {"mean_iou": 1.5} and found["stages"][2]["makes"] == "{output}/b"
    assert found["needs"] == {"models/a.params": "buy", "models/b.params": "make"}
    assert [stage["name"] for stage in read_recipe(recipe, ["b"])["stages"]] == ["lists", "b, test"]
    with pytest.raises(UsageError, match="--only c: .* has a, b"):
        read_recipe(recipe, ["c"])
    Path(recipe).write_text(RECIPE.replace(", paper: {}", ""))
    with pytest.raises(ValueError, match="{paper} stands for nothing"):
        read_recipe(recipe)


def test_what_a_stage_needs_is_named_before_it_runs(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("data/demo/val.lst")
    with pytest.raises(ValueError, match="there is no models/b.params, which the stage 'b, test' needs: make"):
        reproduce.main(["run", recipe, "--data", "data", "--only", "b"])
    assert reproduce.main(["run", recipe, "--data", "data", "--dry-run"]) == 0
    assert "needs models/a.params (not there): buy" in capsys.readouterr().out
