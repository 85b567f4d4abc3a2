"""The paper's recipes: every command is one that its program takes, and every stage starts from what there is."""
import importlib
import os
import re
from pathlib import Path

import pytest
from conftest import ROOT

from ademxapp import cli
from ademxapp.cli import UsageError
from ademxapp.paper import scores_of_test
from ademxapp.symbol import label_epoch, network, output_stride, parse_label
from iclass.datasets import dataset_record as classification_record
from issegm.datasets import dataset_record as segmentation_record
from tools import reproduce
from tools.reproducing.recipes import in_output, read_recipe

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
    return in_output(text.format(data="data", output="out"), "out")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_stage_can_run(path, parse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(str(path))
    for needed in recipe.needs:
        if needed.endswith(".params"):
            write(in_place(needed))
    for step in (step.at("data", "out", "out") for step in recipe.steps):
        command = step.words()
        assert not re.search(r"[{}]", " ".join(command))
        for name in command:
            if name.endswith(".params") and name != step.makes:
                assert os.path.exists(name), f"{step.name}: no step before makes {name}, and `needs` lacks it"
        args = parse(command)
        if command[0] in ("iclass/ilsvrc.py", "issegm/voc.py"):
            check_run(step, args)
        write(step.makes)


def check_run(step, args):
    """A driver's label is known to the zoo and its dataset's record; what it writes is what the stage makes."""
    stem = args.model or os.path.splitext(os.path.basename(args.weights))[0]
    label, segmentation = parse_label(stem), hasattr(args, "head")
    network(label.network)
    (segmentation_record if segmentation else classification_record)(label.dataset, label.classes)
    if segmentation:
        assert output_stride(label) == 8
    if args.phase == "train":
        assert step.makes == f"{args.output}/{args.model}_ep-{args.stop_epoch or args.to_epoch:04d}.params"
        assert step.log == f"{args.output}/{args.model}"
        if args.lr_type == "linear" and segmentation and args.gpus:
            assert label_epoch(args.weights) is not None and args.base_lr == 0.0008
    else:
        folder = args.output or os.path.dirname(args.weights)
        parts = [stem] + ([] if args.split == "val" else [args.split]) + ([args.tag] if args.tag else [])
        assert step.makes.startswith(f"{folder}/{'_'.join(parts)}") and step.is_test
        assert label_epoch(args.weights) is not None


def test_tests_are_shown_beside_the_papers_scores():
    """Every row of its tables that can be tested, and what is said in passing (sections 5 and 6.2)."""
    found = {}
    for path in RECIPES:
        for step in read_recipe(str(path)).steps:
            scores = scores_of_test(path.stem, step.item, step.name) if step.is_test else {}
            if scores:
                found.setdefault(path.stem, []).append(tuple(scores.values()))
    assert {stem: len(scores) for stem, scores in found.items()} == {
        "ade20k": 7, "ade20k-pooling": 2, "ade20k-test": 1, "cityscapes": 5, "cityscapes-coarse": 1, "ilsvrc": 7,
        "ilsvrc-others": 8, "pascal-context": 2, "released": 3, "voc": 11, "voc-coco": 1, "voc-test": 1}
    assert found["voc-test"] == [(82.5,)] and found["voc-coco"] == [(84.9,)]
    assert found["voc"][0] == (95.70, 86.26, 80.84) and found["ilsvrc"][0] == (19.2, 4.7)
    assert found["ade20k-pooling"] == [(41.24,), (43.09,)] and found["cityscapes-coarse"] == [(81.3, 91.5)]


RECIPE = """
title: x
output: out
needs: {"models/{network}.params": "{how}"}
values: {scale: 500}
for:
  - {network: a, how: buy, flip: true}
  - {network: b, how: make, flip: false}
steps:
  - {name: lists, run: tools/prepare.py demo, with: {root: "{data}/demo"}, makes: data/demo/val.lst}
  - {name: "{network}, test", run: x.py, makes: "{output}/{network}", expect: {},
     with: {weights: "models/{network}.params", test-scales: "{scale}", test-flipping: "{flip}", gpus: [0, 1]}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_steps_are_written_out_for_every_item(recipe):
    found = read_recipe(recipe)
    assert [step.name for step in found.steps] == ["lists", "a, test", "b, test"]
    assert found.steps[2].makes == "{output}/b" and found.needs == {"models/a.params": "buy", "models/b.params": "make"}
    assert found.steps[1].words() == ("x.py --weights models/a.params --test-scales 500 --test-flipping --gpus 0 "
                                      "--gpus 1").split()
    assert "--test-flipping" not in found.steps[2].words()
    assert found.steps[2].at("d", "o", devices={"cpus": 2}).words()[-2:] == ["--cpus", "2"]
    assert [step.name for step in read_recipe(recipe, ["b"]).steps] == ["lists", "b, test"]
    assert "640" in read_recipe(recipe, ["b"], {"scale": "640"}).steps[1].words()
    with pytest.raises(UsageError, match="--only c: .* has a, b"):
        read_recipe(recipe, ["c"])
    with pytest.raises(UsageError, match="--set size: .* has scale"):
        read_recipe(recipe, None, {"size": "1"})
    Path(recipe).write_text(RECIPE.replace(", flip: true", ""))
    with pytest.raises(ValueError, match="'{flip}' has braces"):
        read_recipe(recipe)


def test_what_a_step_needs_is_named_before_it_runs(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("data/demo/val.lst")
    with pytest.raises(ValueError, match="there is no models/b.params, which the step 'b, test' needs: make"):
        reproduce.main(["run", recipe, "--data", "data", "--only", "b"])
    assert reproduce.main(["run", recipe, "--data", "data", "--dry-run"]) == 0
    assert "needs models/a.params (not there): buy" in capsys.readouterr().out


def test_what_another_command_made_is_not_taken_for_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    text = ("title: x\noutput: out\nvalues: {word: a}\nsteps:\n  - {name: a step, run: make.py, with: {say: '{word}', "
            "output: '{output}'}, makes: '{output}/made'}\n")
    path.write_text(text)
    Path("make.py").write_text("import pathlib; pathlib.Path('out').mkdir(exist_ok=True); "
                               "pathlib.Path('out/made').touch()")
    for _ in range(2):
        assert reproduce.main(["run", str(path)]) == 0
    assert "a step: to do" in capsys.readouterr().out.splitlines()[0]
    with pytest.raises(ValueError, match="out/made was made by another command than that of 'a step': remove it"):
        reproduce.main(["run", str(path), "--set", "word=b"])
    os.unlink("out/made")
    assert reproduce.main(["run", str(path), "--set", "word=b"]) == 0
