"""The paper's tables and figures, cell by cell."""
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from random_weights import random_weights
from worlds import write_trees

from ademxapp import paper
from ademxapp.cli import make_parser
from ademxapp.files import kept
from ademxapp.paper import LOST, Row, read_table
from ademxapp.weights.released import BY_FILE, RELEASED
from issegm.datasets import DATASETS
from tools import reproduce
from tools.msctest import AveragingSettings
from tools.reproducing import measurements, paper_tables
from tools.reproducing.recipes import read_recipe
from tools.reproducing.steps import made_by, record_of

TABLES = [f"table{n}" for n in range(1, 8)]
SEGMENTER = "voc_rna-a1-w0.02_cls21_s8_ep-0001.params"


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
            assert {"recipe"} <= set(test) <= {"recipe", "only", "step"}, row.method
            recipe = read_recipe(f"recipes/{test['recipe']}.yaml", [test["only"]] if "only" in test else None)
            assert [step for step in recipe.steps if step.is_test
                    and step.name == test.get("step", step.name)], row.method
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
        assert list(row["needs"])[:1] == ([] if method == "ResNet-152 [5]" else ["data/ilsvrc12"])
    assert list(rows["Model A"]["needs"]) == ["data/ilsvrc12", "a run"]
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


def test_speeds_are_those_of_the_measurement(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    assert measurements.speeds_of(Row("x", network="rna-e")) == ({}, "")
    write(str(tmp_path / "speed" / "networks.json"), json.dumps({"machine": "a machine", "found": [
        {"what": "rna-e", "against": "rn-101", "rates": [5.0], "ratio": 2.5}]}))
    values, how = measurements.speeds_of(Row("VGG16, 10 crops", network="rna-e", crops=10))
    assert values == {"speed": 0.5, "speed_ratio": 0.25} and "in turns with rn-101 on a machine" in how
    assert measurements.speeds_of(Row("y", network="rna-f")) == ({}, "")


# Tests that were made


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(text)


@pytest.fixture
def stand_ins(clone, monkeypatch):
    """A clone with a narrow network as released weights, and a drawn image in the dataset's layout."""
    wide = BY_FILE[SEGMENTER.replace("-w0.02", "")]
    monkeypatch.setitem(BY_FILE, wide.file, replace(wide, label=SEGMENTER[:-len("_ep-0001.params")], settings={
        **wide.settings, "weights": f"models/{SEGMENTER}", "test-scales": 64}))
    random_weights(f"models/{SEGMENTER}")
    write(f"models/{wide.file}", "stands in for what the recipe needs")
    rng = np.random.default_rng(0)
    write("data/VOCdevkit/VOC2012/JPEGImages/b.png", "")
    Image.fromarray(rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)).save("data/VOCdevkit/VOC2012/JPEGImages/b.png")
    Image.fromarray(np.full((64, 80), 3, np.uint8)).save("data/VOCdevkit/VOC2012/b-label.png")
    write("data/voc/val.lst", "VOC2012/JPEGImages/b.png\tVOC2012/b-label.png\n")
    return wide.file


def test_released_weights_are_tested_where_they_lie(stand_ins, capsys):
    command = f"python tools/reproduce.py run recipes/released.yaml --only {stand_ins} --data data"
    row = rows_of("table2")["Model A, 2 conv."]
    assert "mean_iou" not in row["here"] and row["needs"] == {"a run": f"`{command}`"}
    assert reproduce.main([*command.split()[2:], "--cpus", "1"]) == 0
    folder = f"output/{os.path.splitext(SEGMENTER)[0]}"
    result = json.loads(Path(folder, "result.json").read_text())
    row = rows_of("table2")["Model A, 2 conv."]
    assert row["here"]["mean_iou"] == result["mean_iou"] and result["images"] == 1 and not row["needs"]
    assert f"--weights models/{SEGMENTER}" in row["how"][1]
    check_sheets(folder, capsys)

    record, = Path("output/steps").glob("*voc-rna-a1-w0-02-cls21-s8-ep-0001-test.json")
    kept = record.read_text()
    record.unlink()  # as where the published command alone was run
    assert rows_of("table2")["Model A, 2 conv."]["here"]["mean_iou"] == result["mean_iou"]
    before = Path(folder, "result.json").read_text()
    Path(folder, "result.json").write_text(before.replace('"dtype": null', '"dtype": "int8"'))  # another way to compute
    assert "mean_iou" not in rows_of("table2")["Model A, 2 conv."]["here"]
    Path(folder, "result.json").write_text(before)
    record.write_text(kept)
    random_weights(f"models/{SEGMENTER}", 1)  # and of other weights
    assert "mean_iou" not in rows_of("table2")["Model A, 2 conv."]["here"]


def check_sheets(folder, capsys):
    """Figures are made of tests that are there, and of any test that is given."""
    assert reproduce.main(["figures5-11"]) == 0
    assert "Figure 11 (PASCAL-Context val) needs data/pascal-context (" in capsys.readouterr().out
    with Image.open("output/tables/figure5.png") as sheet:
        assert sheet.size[0] > 4 * 80 and sheet.size[1] > 64
    assert not os.path.exists("output/tables/figure11.png")
    assert reproduce.main(["figures5-11", "--run", folder, "--out-dir", "sheets"]) == 0
    assert sorted(os.listdir("sheets")) == ["failures.png", "results.png"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_row_of_released_weights(clone, data_root, monkeypatch):
    """Real images in the datasets' layouts, narrow networks in place of the released ones, the published commands."""
    write_trees(data_root)
    for wide in RELEASED:
        narrow = wide.file.replace("rna-a1_", "rna-a1-w0.02_").replace("rna-a_", "rna-a-w0.02_")
        monkeypatch.setitem(BY_FILE, wide.file, replace(wide, settings={
            **wide.settings, "weights": f"models/{narrow}"}))
        random_weights(f"models/{narrow}")
        write(f"models/{wide.file}", "stands in for what the recipe needs")
    assert reproduce.main(["run", "recipes/released.yaml", "--data", "data", "--cpus", "1"]) == 0
    measured = [how for name in ("table1", "table2", "table4") for row in rows_of(name).values() for how in row["how"]
                if "--weights models/" in how]
    assert len(measured) == 5  # no row of the paper is Model A1's as a classifier


# Test sets, full scale


@pytest.fixture
def entered(clone):
    """A test of VOC's test set, and the path of its entry without .tgz."""
    folder = "output/voc/voc_rna-a1_cls21_s8_2conv-x1-39_ep-0018"
    write(f"{folder}.params", "x")
    recipe = read_recipe("recipes/voc-test.yaml")
    step = recipe.steps[0].at("data", recipe.output)
    write(step.makes, json.dumps({"arguments": {}}))
    kept(record_of(step, recipe.output), made_by(step), dict)
    return f"{folder}_test"


def test_a_test_set_needs_its_server_and_what_it_answers_fills_the_table(entered):
    row = rows_of("table3")["Ours"]
    assert not row["here"] and list(row["needs"]) == [f"{entered}.tgz"]
    assert f"`python tools/submit.py {entered}` makes the entry" in row["needs"][f"{entered}.tgz"]
    write(f"{entered}.tgz", "x")
    write(f"{entered}_answer.json", json.dumps({"mean_iou": 81.25, "IoU of boat": 70}))
    row = rows_of("table3")["Ours"]
    assert row["here"] == {"mean_iou": 81.25, "IoU of boat": 70}
    assert f"scored by the benchmark's server (`{entered}_answer.json`)" in row["how"][0]
    os.utime(f"{entered}_answer.json", (1, 1))  # of an entry before this one
    assert not rows_of("table3")["Ours"]["here"]


def test_a_test_of_several_networks_counts_that_was_made_by_hand(clone):
    step = read_recipe("recipes/ade20k-test.yaml").steps[-1].at("data", "output/ade20k")
    for path in step.settings["weights"]:
        write(path, "x")
    made = AveragingSettings.from_args(make_parser("", AveragingSettings).parse_args(step.words()[1:])).arguments()
    entry = f"{os.path.dirname(step.makes)}.zip"
    for flipped, needed in ((True, entry), (False, "data/ade20k")):
        write(step.makes, json.dumps({"arguments": {**made, "test_flipping": flipped}}))
        assert next(iter(rows_of("table6")["Ours (Models A and C)"]["needs"])) == needed


@pytest.mark.parametrize("answer, message", [
    ('{"mean_iou": 812}', "'mean_iou': 812: wanted percentages of top1_error"),
    ('{"mean iou": 81}', "'mean iou': 81: wanted percentages"), ('{"mean_iou": "81"}', "'mean_iou': '81': wanted"),
    ("[81]", "_answer.json is no answer: wanted percentages"), ("81,", "_answer.json is no answer")])
def test_a_wrong_answer_is_told(entered, answer, message):
    write(f"{entered}.tgz", "x")
    write(f"{entered}_answer.json", answer)
    with pytest.raises(ValueError, match=message):
        rows_of("table3")


def test_tables_say_what_is_needed(clone):
    assert reproduce.main(["table6", "--out", "table6.md"]) == 0
    page = Path("table6.md").read_text()
    assert "| Ours (Model A2) (one pre-trained network) | – | 56.41 |" in page
    assert "| CASIA_IVA (one pre-trained network) | – | 54.33 |" in page
    assert "needs `data/ade20k`: ADE20K with its test set" in page
    assert "needs `a run`: `python tools/reproduce.py run recipes/ade20k-test.yaml --data data`." in page


def test_hours_are_the_formula(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(measurements, "counted", lambda *_, **__: {"multiply_adds": 50 * 10 ** 9, "memory": 2 ** 30})
    steps = [step for step in read_recipe("recipes/ilsvrc.yaml", ["rna-a"]).steps if "to-epoch" in step.settings]
    trainings = list(map(measurements.training_of, steps))
    assert [(one.images, one.epochs, one.cards, one.share) for one in trainings] == [(1281167, 90, 4, 64)]
    row = measurements.row_of("x", trainings, 10.0, 0.5)
    assert row[1:-1] == ["90 x 1,281,167", "50.0", "4", "1,024",
                       f"{1281167 * 90 * 50e9 * 6 / (4 * 5e12) / 3600:.0f}"]
    assert "| unknown |" in measurements.full_scale("voc-coco")
    hours = [float(measurements.full_scale("places", f"peak={peak}").split("|")[-2]) for peak in (10, 20)]
    assert hours[0] == pytest.approx(2 * hours[1], abs=1)


# What a card has measured


@pytest.fixture
def card(clone, tmp_path, monkeypatch):
    """What a made-up card.json has, in a clone without data."""
    for name in ("counted.json", "speed/networks.json"):
        write(str(tmp_path / name), (ROOT / "docs/results" / name).read_text())
    monkeypatch.setattr(measurements, "RESULTS", tmp_path)
    plain = {"head": None, "dtype": "float32", "compiled": False, "read": False, "images": 64}
    rows = [{**plain, "kind": "testing", "network": "rn-101", "images_per_s": 800.0},
            {**plain, "kind": "testing", "network": "rna-a", "images_per_s": 5000.0, "compiled": True},
            {**plain, "kind": "testing", "network": "rna-a", "images_per_s": 200.0},
            {**plain, "kind": "testing", "network": "vgg-16", "images_per_s": 900.0},
            {**plain, "kind": "training", "network": "rna-a", "images_per_s": 9.0, "memory": 40.0, "read": True},
            {**plain, "kind": "training", "network": "rna-a", "images_per_s": 100.0, "memory": 40.0},
            {**plain, "kind": "tuning", "network": "rna-a1", "head": "2conv", "images_per_s": 20.0, "memory": 12.5},
            {**plain, "kind": "tuning", "network": "rna-a1", "head": "1conv", "error": "too little memory"}]
    found = {"card": "Card X", "rehearsed": False, "torch": "2.99", "rows": rows, "left": []}
    write(str(tmp_path / "speed" / "card.json"), json.dumps(found))
    return found


def test_tables_1_and_2_have_what_a_card_has_measured(card):
    rows = rows_of("table1")
    assert rows["Model A"]["here"]["card_testing_float32"] == 200 and rows["Model A"]["here"]["card_ratio"] == 0.25
    assert rows["Model A"]["here"]["card_training_float32"] == 100
    assert "card_testing_bfloat16" not in rows["Model A"]["here"]
    assert rows["VGG16 [14], 10 crops"]["here"]["card_testing_float32"] == 90
    assert any("Card X, PyTorch 2.99" in how for how in rows["Model A"]["how"])
    assert not any(name.startswith("card") for name in rows["Model B"]["here"])
    tuned = rows_of("table2")
    assert tuned["Model A, 2 conv."]["here"]["card_memory_float32"] == 12.5
    assert tuned["Model A, 2 conv."]["here"]["card_tuning_float32"] == 20
    assert "card_memory_float32" not in tuned["Model A, 1 conv."]["here"]
    assert "| GiB in training on a card, float32 |" in paper_tables.page("table2").splitlines()[0]


def test_hours_are_those_measured_beside_the_estimate(card):
    lines = measurements.full_scale("ilsvrc:rna-a", "ilsvrc:rna-b", "voc:rna-a1-2conv", "voc:rna-a1-1conv").splitlines()
    assert lines[0].endswith("| hours (estimate) | hours on Card X (as measured) |")
    cells = [line.split("|")[-3:-1] for line in lines[2:]]
    assert [measured.strip() for _, measured in cells] == [
        f"{1281167 * 90 / 400 / 3600:.1f}", "–", f"{10582 * (39 + 18) / 80 / 3600:.1f}", "–"]
    assert cells[0][0].strip() == "379"


def test_nothing_is_claimed_of_a_rehearsal(card, tmp_path):
    write(str(tmp_path / "speed" / "card.json"), json.dumps({**card, "rehearsed": True}))
    assert measurements.card_of(read_table("table1").rows[-1]) == ({}, "")
    assert "measured" not in measurements.full_scale("ilsvrc:rna-a")
