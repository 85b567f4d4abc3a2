"""The paper's tables and figures, cell by cell."""
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from random_weights import random_weights
from worlds import write_trees

from ademxapp import paper
from ademxapp.paper import LOST, Row, read_table
from ademxapp.weights.released import BY_FILE, RELEASED
from issegm.datasets import DATASETS
from tools import reproduce
from tools.reproducing import full_scale, measurements, tested
from tools.reproducing.recipes import read_recipe

TABLES = [f"table{n}" for n in range(1, 8)]
CLASSIFIER, SEGMENTER = "ilsvrc-cls_rna-a-w0.02_cls1000_ep-0001.params", "voc_rna-a1-w0.02_cls21_s8_ep-0001.params"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder like a clone without data, to work in."""
    for name in ("ademxapp", "iclass", "issegm", "recipes", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ADEMXAPP_DATA", raising=False)
    return tmp_path


def rows_of(*arguments):
    """{method: row} of the JSON of a table's command."""
    assert reproduce.main([*arguments, "--out", "out.json"]) == 0
    return {row["method"]: row for row in json.loads(Path("out.json").read_text())["rows"]}


# The tables' files


def test_numbers_of_rows(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert {name: len([row for row in read_table(name).rows if not row.group.endswith("the paper's table")])
            for name in TABLES} == {"table1": 16, "table2": 11, "table3": 12, "table4": 14, "table5": 8, "table6": 10,
                                    "table7": 7}


def test_class_ious_of_table_3_give_their_means(monkeypatch):
    """With a background of 93 to 98 %, which the table has only in the mean: a wrong figure would stand out."""
    monkeypatch.chdir(ROOT)
    table = read_table("table3")
    whole = [row for row in table.rows if row.paper and LOST not in row.paper.values()]
    assert len(whole) == 10
    for row in whole:
        ious = [row.paper[column] for column in table.columns if column != "mean_iou"]
        assert len(ious) == 20 and 93 < 21 * row.paper["mean_iou"] - sum(ious) < 98, row.method


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_figures_of_their_columns_and_tests_of_their_recipes(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    table = read_table(name)
    for row in table.rows:
        assert set(row.paper) <= set(table.columns), row.method
        assert all(figure == LOST or isinstance(figure, (int, float)) for figure in row.paper.values()), row.method
        for test in row.tests:
            assert set(test) <= {"recipe", "only", "step"} or set(test) == {"released"}, row.method
            if "recipe" in test:
                recipe = read_recipe(f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else None)
                assert [step for step in recipe.steps if step.is_test
                        and step.name == test.get("step", step.name)], row.method
            else:
                assert test["released"] in BY_FILE
    if name == "table3":
        assert table.columns[:20] == tuple(map(paper.class_column, DATASETS["voc"].class_names[1:]))


# What a machine measures without any dataset


def test_table_1_without_any_dataset(clone):
    rows = rows_of("table1")
    assert len(rows) == 16
    for method, row in rows.items():
        for column in ("depth", "input"):
            assert row["here"][column] == row["paper"][column], (method, column)
        assert row["here"]["parameters"] > 1e7 and row["here"]["multiply_adds"] > 1e9
        assert "top1_error" not in row["here"]
        assert [need["what"] for need in row["needs"]] == ([] if method == "ResNet-152 [5]" else [
            "ilsvrc12", "lists", "weights"])
    assert "19.2 %" in rows["Model A"]["needs"][2]["how"]
    assert rows["Model A"]["paper"]["speed_ratio"] == 0.3


def test_what_is_counted_is_kept_and_is_what_the_networks_have(tmp_path, monkeypatch):
    kept = json.loads((ROOT / "docs/results/counted.json").read_text())
    monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    for label, crop, more in (("voc_rna-b1_cls21_s8", 504, {"head": "1conv"}), ("ilsvrc-cls_rna-f_cls1000", 56, {})):
        images = 4 if more else 1
        found = measurements.counted(label, images, crop, **more)
        assert kept[f"{label} {images} {crop} {more.get('head', '')} softmax"]["values"] == found
        monkeypatch.setattr(measurements, "count", None)  # the second time it is read
        assert measurements.counted(label, images, crop, **more) == found
        monkeypatch.undo()
        monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    row = Row("Model B", network="rna-b1", head="1conv", paper={"memory": 7.6})
    memory = kept["voc_rna-b1_cls21_s8 4 504 1conv softmax"]["values"]["memory"] / 2 ** 30
    assert measurements.counts_of(row)[0] == {"memory": memory, "memory_ratio": memory / 7.6}


def test_speeds_are_those_of_the_measurement(tmp_path):
    path = tmp_path / "networks.json"
    assert measurements.speeds_of(Row("x", network="rna-e"), str(path)) == ({}, "")
    path.write_text(json.dumps({"machine": "a machine", "found": [
        {"what": "rna-e", "against": "rn-101", "rates": [5.0], "ratio": 2.5}]}))
    values, how = measurements.speeds_of(Row("VGG16, 10 crops", network="rna-e", crops=10), str(path))
    assert values == {"speed": 0.5, "speed_ratio": 0.25} and "in turns with rn-101 on a machine" in how
    assert measurements.speeds_of(Row("y", network="rna-f"), str(path)) == ({}, "")


# Released weights and datasets: stand-ins


TABLE = f"""
title: Stand-ins
about: of weights and images
columns: [top1_error, mean_iou, pixel_acc]
rows:
  - method: Model A
    tests: [{{recipe: ilsvrc, only: rna-a}}, {{released: {CLASSIFIER}}}]
    paper: {{top1_error: 19.2}}
  - method: Model A1
    tests: [{{recipe: voc, only: rna-a1-2conv}}, {{released: {SEGMENTER}}}]
    paper: {{mean_iou: 80.84}}
"""
FIGURES = f"""
images: 2
figures:
  - figure: 5
    about: VOC
    pick: spread
    tests: [{{recipe: voc, only: rna-a1-2conv}}, {{released: {SEGMENTER}}}]
  - {{figure: 11, about: Context, pick: worst, tests: [{{recipe: pascal-context, only: rna-a1}}]}}
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(text)


@pytest.fixture
def stand_ins(clone, monkeypatch):
    """A clone with narrow networks as released weights, and few drawn images in the datasets' layout."""
    write("paper/table1.yaml", TABLE)
    write("paper/figures5-11.yaml", FIGURES)
    monkeypatch.setattr(paper, "FOLDER", str(clone / "paper"))
    read_table.cache_clear()
    for file in (CLASSIFIER, SEGMENTER):
        wide = BY_FILE[file.replace("-w0.02", "")]
        label = file[:-len("_ep-0001.params")]
        monkeypatch.setitem(tested.BY_FILE, file, replace(
            wide, label=label, settings={**wide.settings, "weights": f"models/{file}", "test-scales": 64}))
        random_weights(f"models/{file}")
    rng = np.random.default_rng(0)
    for name in ("data/ilsvrc12/val/a.png", "data/VOCdevkit/VOC2012/JPEGImages/b.png"):
        os.makedirs(os.path.dirname(name))
        Image.fromarray(rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)).save(name)
    Image.fromarray(np.full((64, 80), 3, np.uint8)).save("data/VOCdevkit/VOC2012/b-label.png")
    write("data/ilsvrc-cls/val.lst", "0\t7\tval/a.png\n")
    write("data/voc/val.lst", "VOC2012/JPEGImages/b.png\tVOC2012/b-label.png\n")
    yield clone
    read_table.cache_clear()


def test_released_weights_are_tested_where_they_lie(stand_ins, monkeypatch, capsys):
    runs, run, val_list = [], tested.run, Path("data/voc/val.lst").read_text()
    assert not any(row["here"] or row["needs"] for row in rows_of("table1", "--dry-run").values())
    assert not os.path.exists("output") and "can be measured now: `python iclass" in capsys.readouterr().err
    rows = rows_of("table1", "--cpus", "1")
    for file, method, column in ((CLASSIFIER, "Model A", "top1_error"), (SEGMENTER, "Model A1", "mean_iou")):
        result = json.loads(Path("output", file[:-len(".params")], "result.json").read_text())
        assert rows[method]["here"][column] == result[column] and result["images"] == 1
        assert f"--weights models/{file}" in rows[method]["how"][0] and "--cpus 1" in rows[method]["how"][0]
    monkeypatch.setattr(tested, "run", runs.append)  # nothing is run again, on whatever devices
    assert here(rows_of("table1")) == here(rows)

    os.unlink(f"output/{CLASSIFIER[:-len('.params')]}/measured.json")  # as where a driver alone was run
    assert here(rows_of("table1")) == here(rows)
    os.rename("data/ilsvrc12", "data/elsewhere")  # nor are the images needed once more
    assert here(rows_of("table1")) == here(rows)
    os.rename("data/elsewhere", "data/ilsvrc12")
    check_sheets(capsys)
    assert not runs
    write("data/voc/val.lst", val_list * 2)  # stale: of another list, of other weights
    assert not rows_of("table1", "--dry-run")["Model A1"]["here"]
    write("data/voc/val.lst", val_list)
    result = Path("output", SEGMENTER[:-len(".params")], "result.json")
    kept = result.read_text()
    result.write_text(kept.replace('"dtype": null', '"dtype": "int8"'))  # nor of another way to compute
    assert not rows_of("table1", "--dry-run")["Model A1"]["here"]
    result.write_text(kept)
    label = Path("data/VOCdevkit", val_list.split()[1])
    before = label.read_bytes()
    label.write_bytes(before + b" ")
    tested.sizes_digest.cache_clear()
    assert not rows_of("table1", "--dry-run")["Model A1"]["here"]
    label.write_bytes(before)
    tested.sizes_digest.cache_clear()
    random_weights(f"models/{CLASSIFIER}", 1)
    monkeypatch.setattr(tested, "run", run)
    again = rows_of("table1", "--cpus", "1")
    assert again["Model A1"] == rows["Model A1"]
    assert again["Model A"]["how"] != rows["Model A"]["how"]  # it names the weights' hash


def here(rows):
    return {method: row["here"] for method, row in rows.items()}


def check_sheets(capsys):
    """Figures are made of tests that are there or can be made, and of any test that is given."""
    assert reproduce.main(["figures5-11", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Figure 5 (VOC) can be made now\n" in said
    assert "Figure 11 (Context) needs data" in said
    assert reproduce.main(["figures5-11"]) == 0
    with Image.open("output/tables/figure5.png") as sheet:
        assert sheet.size[0] > 4 * 80 and sheet.size[1] > 64
    assert not os.path.exists("output/tables/figure11.png")
    assert reproduce.main(["figures5-11", "--run", f"output/{SEGMENTER[:-len('.params')]}", "--out-dir", "sheets"]) == 0
    assert sorted(os.listdir("sheets")) == ["failures.png", "results.png"]


def test_a_test_that_fails_ends_the_command():
    with pytest.raises(ValueError, match="python -c .* ended with status 5: what was measured before is kept"):
        tested.run(("-c", "raise SystemExit(5)"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_row_of_released_weights(stand_ins, data_root, monkeypatch):
    """Real images in the datasets' layouts, narrow networks in place of the released ones, the published commands."""
    shutil.rmtree("data")
    write_trees(data_root)
    files = {}
    for wide in RELEASED:
        label = wide.label.replace("rna-a1_", "rna-a1-w0.02_").replace("rna-a_", "rna-a-w0.02_")
        files[wide.file] = f"{label}_ep-0001.params"
        monkeypatch.setitem(tested.BY_FILE, files[wide.file], replace(
            wide, label=label, settings={**wide.settings, "weights": f"models/{files[wide.file]}"}))
        random_weights(f"models/{files[wide.file]}")
    measured = []
    for name in ("table1", "table2", "table4"):
        text = (ROOT / "ademxapp" / "paper" / f"{name}.yaml").read_text()
        for file, narrow in files.items():
            text = text.replace(file, narrow)
        write(f"paper/{name}.yaml", text)
        read_table.cache_clear()
        for row in rows_of(name, "--cpus", "1").values():
            measured += row["how"] if set(row["here"]) & {"top1_error", "mean_iou"} else []
    assert sorted(file for how in measured for file in files.values() if f"models/{file}" in how) == sorted(
        file for file in files.values() if "_rna-a1-w0.02_cls1000" not in file)  # no row of the paper is Model A1's


# Test sets, trainings, full scale


@pytest.fixture
def entered(clone, monkeypatch):
    """The programs that an entry for VOC has run, and its path without .tgz."""
    folder = "output/voc/voc_rna-a1_cls21_s8_2conv-x1-39_ep-0018"
    for path in (f"{folder}.params", "data/VOCdevkit/x", "data/voc/test.lst"):
        write(path, "x")
    runs = []

    def run(words):
        runs.append(words[0])
        write(f"{folder}_test/result.json" if words[0].startswith("issegm") else f"{folder}_test.tgz",
              json.dumps({"arguments": {}}))

    monkeypatch.setattr(tested, "run", run)
    return runs, f"{folder}_test"


def test_an_entry_is_made_for_a_test_set_and_its_server_is_needed(entered):
    runs, entry = entered
    for _ in range(2):
        row = rows_of("table3")["Ours"]
        assert not row["here"] and row["paper"]["mean_iou"] == 82.5
        assert [(need["what"], need["place"]) for need in row["needs"]] == [("server", f"{entry}.tgz")]
    assert runs == ["issegm/voc.py", "tools/submit.py"]


def test_what_a_server_answers_fills_the_table(entered):
    runs, entry = entered
    rows_of("table3")
    write(f"{entry}_answer.json", json.dumps({"mean_iou": 81.25, "IoU of boat": 70}))
    row = rows_of("table3")["Ours"]
    assert row["here"] == {"mean_iou": 81.25, "IoU of boat": 70}
    assert f"scored by the benchmark's server (`{entry}_answer.json`)" in row["how"][0]
    os.utime(f"{entry}_answer.json", (1, 1))  # of an entry before this one
    assert not rows_of("table3")["Ours"]["here"]
    assert runs == ["issegm/voc.py", "tools/submit.py"]


@pytest.mark.parametrize("answer, message", [
    ('{"mean_iou": 812}', "'mean_iou': 812: wanted percentages of top1_error"),
    ('{"mean iou": 81}', "'mean iou': 81: wanted percentages"), ('{"mean_iou": "81"}', "'mean_iou': '81': wanted"),
    ("[81]", "_answer.json is no answer: wanted percentages"), ("81,", "_answer.json is no answer")])
def test_a_wrong_answer_is_told(entered, answer, message):
    rows_of("table3")
    write(f"{entered[1]}_answer.json", answer)
    with pytest.raises(ValueError, match=message):
        rows_of("table3")


def test_training_is_for_rows_whose_needs_are_there(clone, capfd):
    os.makedirs("data/pascal-context")
    write("models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params", "x")
    assert reproduce.main(["table7", "--train", "--dry-run", "--cpus", "2", "--output", "elsewhere"]) == 0
    said = capfd.readouterr()
    assert "Ours (Model A2): cannot be trained without models/places365_rna-a2_cls365_ep-0001.params" in said.err
    training, = [line for line in said.out.splitlines() if "--to-epoch 83" in line]
    assert "--model pascal-context_rna-a1_cls60_s8 " in training and training.endswith("--cpus 2")
    assert "--gpus" not in training and "--output elsewhere/pascal-context " in training


def test_tables_say_what_is_needed(clone):
    assert reproduce.main(["table6", "--out", "table6.md"]) == 0
    page = Path("table6.md").read_text()
    assert "| Ours (Model A2) (one pre-trained network) | – | 56.41 |" in page
    assert "| CASIA_IVA (one pre-trained network) | – | 54.33 |" in page
    assert "`python tools/prepare.py ade20k --root data/ade20k` writes it. For Ours (Model A2)" in page
    assert "needs server, `output/ade20k/ade20k_rna-a2_cls150_s8_x1-21_ep-0009_test.zip`" in page


def test_hours_are_the_formula(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(full_scale, "counted", lambda *_, **__: {"multiply_adds": 50 * 10 ** 9, "memory": 2 ** 30})
    steps = [step for step in read_recipe("recipes/ilsvrc.yaml", ["rna-a"]).steps if "to-epoch" in step.settings]
    trainings = list(map(full_scale.training_of, steps))
    assert [(one.images, one.epochs, one.cards, one.share) for one in trainings] == [(1281167, 90, 4, 64)]
    row = full_scale.row_of("x", trainings, 10.0, 0.5)
    assert row[1:] == ["90 x 1,281,167", "50.0", "4", "1,024",
                       f"{1281167 * 90 * 50e9 * 6 / (4 * 5e12) / 3600:.0f}"]
    assert "| unknown |" in full_scale.block("voc-coco")
    hours = [float(full_scale.block("places", f"peak={peak}").split("|")[-2]) for peak in (10, 20)]
    assert hours[0] == pytest.approx(2 * hours[1], abs=1)
