"""Programs on weights that know themselves: their size, their classes, and which network they are."""
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from random_weights import make_weights, random_weights

from ademxapp.cli import UsageError
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.weights.describe import describe
from ademxapp.weights.description import write_description
from iclass import ilsvrc
from iclass.classifier import read_predictions
from issegm import voc
from tools import msctest, predict, weights

CLS, SEG = "pets_rna-b1-w0.02_cls5", "garden_rna-b1-w0.02_cls6_s8"  # datasets that are not built in
NAMES = {"cls": tuple("abcde"), "seg": ("grass", "path", "plant", "pond", "bench", "shed")}
SCALE = {"cls": 48, "seg": 64}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights with descriptions, as training leaves them; images and lists."""
    folder = tmp_path_factory.mktemp("known")
    make_weights(folder / f"{CLS}_ep-0001.params", CLS)
    random_weights(str(folder / f"{SEG}_ep-0001.params"))
    for label, task in ((CLS, "cls"), (SEG, "seg")):
        path = str(folder / f"{label}_ep-0001.params")
        about = replace(describe(path), test_scale=SCALE[task], class_names=NAMES[task])
        if task == "seg":
            about = replace(about, label_ids=(1, 2, 3, 4, 5, 6), ignored_ids=(0, 255))
        write_description(path, {"epoch": 1, **about.values()})
    samples = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50 + number, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        Image.fromarray(np.full((40, 50 + number), number, np.uint8)).save(folder / f"truth{number}.png")
        samples.append(Sample(str(folder), f"{number}.png", number, f"truth{number}.png"))
    write_classification_list(str(folder / "cls.lst"), samples)
    write_segmentation_list(str(folder / "seg.lst"), samples)
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


def test(task, name, *arguments):
    """Run phase val of a task's driver on <name>.params: its result."""
    driver = ilsvrc if task == "cls" else voc
    driver.main(["--phase", "val", "--split", "val", "--weights", f"{name}.params", "--list", f"{task}.lst",
                 "--data-root", ".", "--cpus", "1", *arguments])
    with open(f"{name}/result.json") as source:
        return json.load(source)


test.__test__ = False


@pytest.mark.parametrize("task, label", [("cls", CLS), ("seg", SEG)])
def test_drivers_test_at_the_size_of_the_training(world, task, label):
    name = f"{label}_ep-0001"
    result = test(task, name)
    assert result["arguments"]["test_scales"] == [SCALE[task]] and result["label"] == label
    test(task, name, "--test-scales", str(SCALE[task]))  # the same test: it is not refused
    (world / f"{name}.json").unlink()
    if task == "cls":
        result = test(task, name, "--overwrite")
        assert result["arguments"]["test_scales"] == [320]  # the network's
    else:
        with pytest.raises(UsageError, match="dataset 'garden' is not known"):
            test(task, name, "--overwrite")
        (world / "garden.yaml").write_text(
            f"class_names: [{', '.join(NAMES['seg'])}]\nlabel_ids: [1, 2, 3, 4, 5, 6]\nignored_ids: [0, 255]\n")
        with pytest.raises(UsageError, match="--phase val needs --test-scales"):
            test(task, name, "--overwrite", "--dataset-file", "garden.yaml")


@pytest.mark.parametrize("task, label", [("cls", CLS), ("seg", SEG)])
@pytest.mark.parametrize("name", ["mine", "voc_rna-a1_cls21_s8_ep-0004"])
def test_renamed_files_are_what_their_descriptions_say(world, task, label, name):
    for end in ("params", "json"):
        shutil.move(f"{label}_ep-0001.{end}", f"{name}.{end}")
    result = test(task, name)
    assert result["label"] == label and result["images"] == 3


def test_a_browsers_number_changes_nothing(world):
    shutil.move(f"{CLS}_ep-0001.params", f"{CLS}_ep-0001 (1).params")
    result = test("cls", f"{CLS}_ep-0001 (1)")
    assert result["label"] == CLS and result["arguments"]["test_scales"] == [48]


def test_a_nameless_file_is_told_in_words_that_fit_all_programs(world):
    shutil.move(f"{CLS}_ep-0001.params", "mine.params")
    for run in (lambda: test("cls", "mine"), lambda: predict.main(["0.png", "--weights", "mine.params"]),
                lambda: weights.main(["export", "mine.params", "--dynamic", "--out", "x.onnx"]),
                lambda: msctest.main(["--weights", "mine.params", "--test-scales", "64"])):
        with pytest.raises(UsageError, match="mine.params: nothing tells which network this is") as told:
            run()
        assert "--model" not in str(told.value)


def test_descriptions_of_other_weights_are_told(world, capfd):
    make_weights(f"{CLS}_ep-0001.params", CLS, seed=1)
    result = test("cls", f"{CLS}_ep-0001")
    assert result["arguments"]["test_scales"] == [320]
    assert "is of other weights than" in capfd.readouterr().err


def test_predictions_are_made_at_the_size_of_the_training(world, capsys):
    predict.main(["0.png", "--weights", f"{CLS}_ep-0001.params", "--cpus", "1", "--out", "a", "--top", "1"])
    printed = capsys.readouterr().out.split()
    predict.main(["0.png", "--weights", f"{CLS}_ep-0001.params", "--cpus", "1", "--out", "b", "--test-scales", "48"])
    assert read_predictions("a/predictions.tsv") == read_predictions("b/predictions.tsv")
    assert printed[-1] == "abcde"[read_predictions("a/predictions.tsv")[0][3][0][0]]
    capsys.readouterr()
    predict.main(["0.png", "--weights", f"{SEG}_ep-0001.params", "--cpus", "1", "--out", "c"])
    test("seg", f"{SEG}_ep-0001", "--test-scales", "64")
    written = [np.asarray(Image.open(path)) for path in ("c/0.png", f"{SEG}_ep-0001/0.png")]
    np.testing.assert_array_equal(*written)
    assert set(np.unique(written[0])) <= {1, 2, 3, 4, 5, 6}


def test_networks_are_averaged_by_their_descriptions(world):
    for end in ("params", "json"):
        shutil.move(f"{SEG}_ep-0001.{end}", f"mine.{end}")
    (world / "garden.yaml").write_text(
        f"class_names: [{', '.join(NAMES['seg'])}]\nlabel_ids: [1, 2, 3, 4, 5, 6]\nignored_ids: [0, 255]\n")
    msctest.main(["--weights", "mine.params", "--list", "seg.lst", "--data-root", ".", "--test-scales", "48,64",
                  "--cpus", "1", "--dataset-file", "garden.yaml"])
    assert json.loads((world / "mine_msc" / "result.json").read_text())["label"] == SEG


def test_exported_files_carry_the_description(world):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights.main(["export", f"{CLS}_ep-0001.params", "--dynamic", "--out", "x.onnx"])
    known, exported = describe(f"{CLS}_ep-0001.params"), describe("x.onnx")
    assert exported == known and exported.test_scale == 48 and exported.class_names == NAMES["cls"]
    predict.main(["0.png", "--model", "x.onnx", "--out", "onnx"])
    predict.main(["0.png", "--weights", f"{CLS}_ep-0001.params", "--cpus", "1", "--out", "params"])
    mine, theirs = (read_predictions(f"{folder}/predictions.tsv")[0][3] for folder in ("onnx", "params"))
    assert [value for _, value in mine] == pytest.approx([value for _, value in theirs], abs=2e-5)


def test_files_that_are_not_a_predictions_own_are_left(world):
    """street.jpg's label image would be street.png."""
    Image.open("0.png").save("street.jpg")
    Image.new("RGB", (3, 3)).save("street.png")
    before = (world / "street.png").read_bytes()
    arguments = ["street.jpg", "--weights", f"{SEG}_ep-0001.params", "--cpus", "1", "--out", "."]
    with pytest.raises(UsageError, match="street.png is there, and is not of an earlier prediction"):
        predict.main(arguments)
    assert (world / "street.png").read_bytes() == before and not (world / "street_overlay.jpg").exists()
    predict.main([*arguments, "--overwrite"])
    assert (world / "street.png").read_bytes() != before
    predict.main(arguments)  # now it is


def test_the_weights_classes_in_another_order_are_refused_and_other_ids_told(world, capfd):
    def dataset(names, ids):
        with open("garden.yaml", "w") as out:
            json.dump({"class_names": names, "label_ids": ids, "ignored_ids": [0, 255]}, out)  # JSON is YAML
        return ("--dataset-file", "garden.yaml", "--test-scales", "64", "--overwrite")

    names = list(NAMES["seg"])
    with pytest.raises(ValueError, match="garden.yaml has the classes path, grass, .*trained on them in the order"):
        test("seg", f"{SEG}_ep-0001", *dataset(names[1::-1] + names[2:], [1, 2, 3, 4, 5, 6]))
    test("seg", f"{SEG}_ep-0001", *dataset(names, [1, 2, 3, 4, 5, 6]))
    assert "other label_ids" not in capfd.readouterr().err
    test("seg", f"{SEG}_ep-0001", *dataset(names, [2, 1, 3, 4, 5, 6]))
    assert "garden.yaml has other label_ids, [2, 1, 3, 4, 5, 6], than the weights" in capfd.readouterr().err
