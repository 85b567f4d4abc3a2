"""The paper's tables and figures, cell by cell."""
import json
import os
import re
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
from tools.reproducing.cells import NEEDS, PAPER_ONLY
from tools.reproducing.measurements import memory_of, speed_of
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


def cells_of(*arguments):
    """{method: {column: cell}} of the JSON of a table's command."""
    assert reproduce.main([*arguments, "--out", "out.json"]) == 0
    return {row["method"]: row["cells"] for row in json.loads(Path("out.json").read_text())["rows"]}


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
                assert [stage for stage in recipe["stages"] if stage["makes"].endswith("result.json")
                        and stage["name"] == test.get("step", stage["name"])], row.method
            else:
                assert test["released"] in BY_FILE
    if name == "table3":
        assert table.columns[:20] == tuple(map(paper.class_column, DATASETS["voc"].class_names[1:]))


# What a machine measures without any dataset


def test_table_1_without_any_dataset(clone):
    cells = cells_of("table1", "--measure", "costs")
    assert len(cells) == 16
    for method, row in cells.items():
        for column in ("depth", "input"):
            assert row[column]["value"] == row[column]["paper"], (method, column)
        assert row["parameters"]["state"] == row["multiply_adds"]["state"] == "measured"
        if method == "ResNet-152 [5]":
            assert row["top1_error"] == {"state": PAPER_ONLY, "paper": 21.3}
        else:
            assert [need["what"] for need in row["top5_error"]["needs"]] == ["ilsvrc12", "lists", "weights"]
        assert row["speed_ratio"]["needs"][0]["what"] == "a run"
    assert "19.2 %" in cells["Model A"]["top1_error"]["needs"][2]["how"]
    assert cells["Model A"]["speed_ratio"]["paper"] == 0.3


def test_speeds_are_kept_for_a_machine_and_a_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "REFERENCE", "rna-f-w0.02")
    row = Row("VGG16, 10 crops", network="rna-e-w0.02", crops=10)
    found = speed_of(row, str(tmp_path), 1, 1, None)
    assert found.values is None
    found.make()
    kept = speed_of(row, str(tmp_path), 1, 1, None)
    assert kept.make is None and kept.values == found.values and kept.values["speed"] > 0
    raw = json.loads((tmp_path / "speed-rna-e-w0.02.json").read_text())["values"]
    assert kept.values["speed_ratio"] == raw["speed"] / 10 / raw["reference"]
    assert speed_of(row, str(tmp_path), 2, 1, None).make  # of other batches: stale
    (tmp_path / "speed-rna-e-w0.02.json").write_text("{")
    assert speed_of(row, str(tmp_path), 1, 1, None).make
    reference = speed_of(Row("reference", network="rna-f-w0.02"), str(tmp_path), 1, 1, None)
    reference.make()
    assert reference.values["speed_ratio"] > 0


def test_memory_is_that_of_the_page(tmp_path):
    page = json.loads((ROOT / "docs/results/tables/memory.json").read_text())["values"]
    row = Row("Model B", network="rna-b1", head="1conv", paper={"memory": 7.6})
    found = memory_of(row, str(tmp_path))
    found.make()
    memory = page["rna-b1 1conv"] / 2 ** 30
    assert found.values == {"memory": memory, "memory_ratio": memory / 7.6}
    assert memory_of(row, str(tmp_path)).values == found.values


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
            wide, label=label, command=wide.command.replace(wide.label, label).replace("--gpus 0", "--cpus 1")
            .replace("--test-scales 320", "--test-scales 64").replace("--test-scales 500", "--test-scales 64")))
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
    assert all(row[column]["needs"][0]["what"] == "a run" for column in ("top1_error", "mean_iou") for row in
               cells_of("table1", "--dry-run").values() if "paper" in row[column])
    assert not os.path.exists("output") and "can be measured now: scores of python iclass" in capsys.readouterr().err
    cells = cells_of("table1")
    for file, method, column in ((CLASSIFIER, "Model A", "top1_error"), (SEGMENTER, "Model A1", "mean_iou")):
        result = json.loads(Path("output", file[:-len(".params")], "result.json").read_text())
        assert cells[method][column]["value"] == result[column] and result["images"] == 1
        assert f"--weights models/{file}" in cells[method][column]["how"]
        assert cells[method][column]["state"] == "measured"
    monkeypatch.setattr(tested, "run", runs.append)  # nothing is run again
    assert cells_of("table1") == cells

    os.unlink(f"output/{CLASSIFIER[:-len('.params')]}/measured.json")  # as where a driver alone was run
    assert cells_of("table1") == cells
    os.rename("data/ilsvrc12", "data/elsewhere")  # nor are the images needed once more
    assert cells_of("table1", "--measure", "costs") == cells
    os.rename("data/elsewhere", "data/ilsvrc12")
    check_sheets(capsys)
    assert not runs
    write("data/voc/val.lst", val_list * 2)  # stale: of another list, of other weights
    assert cells_of("table1", "--dry-run")["Model A1"]["mean_iou"]["state"] == NEEDS
    write("data/voc/val.lst", val_list)
    result = Path("output", SEGMENTER[:-len(".params")], "result.json")
    kept = result.read_text()
    result.write_text(kept.replace('"dtype": null', '"dtype": "int8"'))  # nor of another way to compute
    assert cells_of("table1", "--dry-run")["Model A1"]["mean_iou"]["state"] == NEEDS
    result.write_text(kept)
    label = Path("data/VOCdevkit", val_list.split()[1])
    before = label.read_bytes()
    label.write_bytes(before + b" ")
    tested.sizes_digest.cache_clear()
    assert cells_of("table1", "--dry-run")["Model A1"]["mean_iou"]["state"] == NEEDS
    label.write_bytes(before)
    tested.sizes_digest.cache_clear()
    random_weights(f"models/{CLASSIFIER}", 1)
    monkeypatch.setattr(tested, "run", run)
    again = cells_of("table1")
    assert again["Model A1"] == cells["Model A1"]
    assert again["Model A"]["top1_error"]["how"] != cells["Model A"]["top1_error"]["how"]  # it names the weights' hash


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
            wide, label=label, command=wide.command.replace(wide.label, label).replace("--gpus 0", "--cpus 1")))
        random_weights(f"models/{files[wide.file]}")
    measured = []
    for name in ("table1", "table2", "table4"):
        text = (ROOT / "ademxapp" / "paper" / f"{name}.yaml").read_text()
        for file, narrow in files.items():
            text = text.replace(file, narrow)
        write(f"paper/{name}.yaml", text)
        read_table.cache_clear()
        for row in cells_of(name, "--measure", "test").values():
            measured += [cell["how"] for column, cell in row.items() if column in ("top1_error", "mean_iou")
                         and cell["state"] == "measured"]
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
        cell = cells_of("table3")["Ours"]["mean_iou"]
        assert cell["state"] == NEEDS and cell["paper"] == 82.5
        assert [(need["what"], need["place"]) for need in cell["needs"]] == [("server", f"{entry}.tgz")]
    assert runs == ["issegm/voc.py", "tools/submit.py"]


def test_what_a_server_answers_fills_the_table(entered):
    runs, entry = entered
    cells_of("table3")
    write(f"{entry}_answer.json", json.dumps({"mean_iou": 81.25, "IoU of boat": 70}))
    row = cells_of("table3")["Ours"]
    assert [(row[name]["state"], row[name]["value"]) for name in ("mean_iou", "IoU of boat")] == [
        ("measured", 81.25), ("measured", 70)]
    assert f"scored by the benchmark's server (`{entry}_answer.json`)" in row["mean_iou"]["how"]
    assert row["IoU of bus"]["state"] == NEEDS  # it was not among the answers
    os.utime(f"{entry}_answer.json", (1, 1))  # of an entry before this one
    assert cells_of("table3")["Ours"]["mean_iou"]["state"] == NEEDS
    assert runs == ["issegm/voc.py", "tools/submit.py"]


@pytest.mark.parametrize("answer, message", [
    ('{"mean_iou": 812}', "'mean_iou': 812: wanted percentages of top1_error"),
    ('{"mean iou": 81}', "'mean iou': 81: wanted percentages"), ('{"mean_iou": "81"}', "'mean_iou': '81': wanted"),
    ("[81]", "_answer.json is no answer: wanted percentages"), ("81,", "_answer.json is no answer")])
def test_a_wrong_answer_is_told(entered, answer, message):
    cells_of("table3")
    write(f"{entered[1]}_answer.json", answer)
    with pytest.raises(ValueError, match=message):
        cells_of("table3")


def test_training_is_for_rows_whose_needs_are_there(clone, capfd):
    os.makedirs("data/pascal-context")
    write("models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params", "x")
    assert reproduce.main(["table7", "--train", "--dry-run", "--cpus", "2", "--output", "elsewhere"]) == 0
    said = capfd.readouterr()
    assert "Ours (Model A2): cannot be trained without models/places365_rna-a2_cls365_ep-0001.params" in said.err
    training, = [line for line in said.out.splitlines() if "--to-epoch 83" in line]
    assert "--model pascal-context_rna-a1_cls60_s8 " in training and training.endswith("--cpus 2")
    assert "--gpus" not in training and "--output elsewhere/pascal-context " in training


def test_pages_say_what_is_needed(clone):
    assert reproduce.main(["table6", "--out", "table6.md"]) == 0
    page = Path("table6.md").read_text()
    assert "| Ours (Model A2) (one pre-trained network) | – | 56.41 | needs ade20k, lists, weights, server |" in page
    assert "| CASIA_IVA (one pre-trained network) | – | 54.33 | paper only |" in page
    assert "python tools/prepare.py ade20k --root data/ade20k" in page and "reproduce.py table6 --out table6.md" in page


def test_hours_are_the_formula(monkeypatch):
    monkeypatch.chdir(ROOT)
    trainings = full_scale.trainings_of(read_recipe("recipes/ilsvrc.yaml", ["rna-a"]))
    assert [(one.images, one.epochs, one.cards, one.share) for one in trainings] == [(1281167, 90, 4, 64)]
    monkeypatch.setattr(full_scale, "costs_of", lambda training: (50 * 10 ** 9, 2 ** 30))

    class Card:
        peak, utilisation = 10.0, 0.5

    row = full_scale.row_of("x", trainings, Card, {})
    assert row[1:] == ("90 x 1,281,167", "50.0", 4, "1,024", f"{1281167 * 90 * 50e9 * 6 / (4 * 5e12) / 3600:.0f}")
    unknown = full_scale.trainings_of(read_recipe("recipes/voc-coco.yaml"))
    assert full_scale.row_of("x", unknown, Card, {})[-1] == "unknown"


def test_hours_of_the_readme_are_those_of_the_page():
    found = re.findall(r"\| `python tools/reproduce.py run (recipes/[^`]+)` \| (\d+) \| (\d+) \| ([\d,]+) \|",
                       (ROOT / "README.md").read_text())
    page = (ROOT / "docs" / "results" / "tables" / "full-scale.md").read_text().splitlines()
    assert len(found) == 6
    for command, cards, hours, memory in found:
        line, = [line for line in page if line.startswith(f"| `{command}` |")]
        assert line.split(" | ")[3:] == [cards, memory, f"{hours} |"], command


def test_pages_have_the_figures_of_the_tables(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in TABLES:
        lines = (ROOT / "docs" / "results" / "tables" / f"{name}.md").read_text().splitlines()
        table = read_table(name)
        for row in table.rows:
            if not table.transposed:
                method = f"{row.method} ({row.group})" if row.group else row.method
                line, = [line for line in lines if line.startswith(f"| {method} |")]
                cells = [cell.strip() for cell in line.split("|")]
                for figure in row.paper.values():
                    assert any(cell == figure or number(cell) == figure for cell in cells), (name, row.method, figure)


def number(text):
    return float(text) if re.fullmatch(r"[\d.]+", text) else None
