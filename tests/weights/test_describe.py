"""Which network a file of weights holds: as its description says, else as its name and parameters do."""
import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from random_weights import make_weights, random_weights
from small_runs import batches, run

from ademxapp.files import digest
from ademxapp.weights.describe import describe
from ademxapp.weights.description import (
    Description,
    description_path,
    kept_description,
    onnx_properties,
    write_description,
)
from ademxapp.weights.formats import write_weights
from tools import weights

CLS, SEG = "demo-cls_rna-b1-w0.02_cls5", "demo_rna-b1-w0.02_cls6_s8"
ABOUT = Description(CLS, "classification", 5, 32, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), "bicubic", 48, pool_style="caffe",
                    crop_size=40, class_names=("ball", "crate", "house", "star", "tree"), recipe={"seed": 1, "a": [2]},
                    versions={"numpy": "1.2"})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights of both tasks, with nothing beside them."""
    folder = tmp_path_factory.mktemp("made")
    make_weights(folder / f"{CLS}_ep-0001.params", CLS)
    random_weights(str(folder / f"{SEG}_ep-0001.params"))
    return folder


@pytest.fixture
def described(made, tmp_path):
    """The classifier's file in a folder of its own, with its description."""
    path = shutil.copy(made / f"{CLS}_ep-0001.params", tmp_path)
    write_description(path, {"epoch": 1, **ABOUT.values()})
    return path


def of_file(about, path):
    return dataclasses.replace(about, weights_sha256=digest(path))


def test_weights_without_a_description_are_taken_as_their_name_and_parameters_say(made):
    found = describe(str(made / f"{CLS}_ep-0001.params"))
    assert (found.label, found.task, found.classes, found.stride, found.head) == (CLS, "classification", 5, 32, "")
    assert (found.test_scale, found.interpolation, found.class_names, found.note) == (320, "adaptive", (), "")
    found = describe(str(made / f"{SEG}_ep-0001.params"))
    assert (found.task, found.classes, found.stride, found.head, found.test_scale) == (
        "segmentation", 6, 8, "2conv", 0)
    assert describe("x.params", SEG, {"linear6_weight": (6, 2, 3, 3)}).head == "1conv"


def test_a_description_is_read_as_it_was_written(described):
    assert describe(described) == of_file(ABOUT, described)


def test_a_renamed_file_is_what_its_description_says(described, tmp_path):
    for name in ("mine", "voc_rna-a1_cls21_s8_ep-0001"):
        for extension in ("params", "json"):
            shutil.copy(f"{os.path.splitext(described)[0]}.{extension}", tmp_path / f"{name}.{extension}")
        path = str(tmp_path / f"{name}.params")
        assert describe(path) == of_file(ABOUT, described)
        assert describe(path, "other_rna-b1-w0.02_cls5_tag").label == "other_rna-b1-w0.02_cls5_tag"


@pytest.mark.parametrize("copy", ["{} (1)", "{}(2)"])
def test_browsers_put_numbers_behind_names(described, copy):
    stem = os.path.splitext(described)[0]
    path = shutil.copy(described, copy.format(stem) + ".params")
    assert describe(path) == of_file(ABOUT, described)
    os.unlink(f"{stem}.json")
    assert describe(path).label == CLS and describe(path).crop_size == 0


def test_a_name_that_tells_nothing_is_an_error_that_says_what_to_do(made, tmp_path):
    path = shutil.copy(made / f"{CLS}_ep-0001.params", tmp_path / "mine.params")
    with pytest.raises(ValueError, match=r"mine.params: nothing tells which network .* beside it, mine.json\. Give the "
                                         "file its old name") as told:
        describe(str(path))
    assert "--model" not in str(told.value)


def test_a_description_of_other_weights_is_told_and_not_used(described):
    with open(described, "ab") as out:
        out.write(b"more")
    kept, note = kept_description(described)
    assert kept is None and "is of other weights than" in note and "its digest differs" in note
    make_weights(described, CLS, seed=1)
    found = describe(described)
    assert found.test_scale == 320 and found.note == note


@pytest.mark.parametrize("change, words", [
    ('{"task": "classification"}', "it has no label"),
    ('{"task": ', "cannot be used"),
    ("[" * 100_000, "cannot be used"),
    ({"task": "detection"}, "task: 'detection'"),
    ({"std": [0.2, 0.0, 0.2]}, "std"),
    ({"mean": [0.2, 0.1]}, "mean: wanted a list of 3 numbers"),
    ({"mean": [0.2, 0.1, float("nan")]}, "mean"),
    ({"classes": "5"}, "classes: wanted an integer"),
    ({"class_names": ["a", "b"]}, "class_names"),
    ({"test_scale": -1}, "test_scale"),
])
def test_a_damaged_description_is_told_and_not_used(described, change, words):
    path = description_path(described)
    before = json.loads(open(path).read())
    with open(path, "w") as out:
        out.write(change if isinstance(change, str) else json.dumps({**before, **change}))
    kept, note = kept_description(described)
    assert kept is None and words in note and path in note and "\n" not in note


def test_scores_of_a_validation_alone_describe_nothing(described):
    with open(description_path(described), "w") as out:
        out.write('{"epoch": 4, "top1_accuracy": 80.0}')
    assert kept_description(described) == (None, "")


def test_training_describes_its_checkpoints(tmp_path):
    run(tmp_path, batches(), epochs=2, val_every=1, validate=lambda _: {"score": 3.0}, about=ABOUT.values())
    for epoch in (1, 2):
        path = str(tmp_path / f"x_ep-{epoch:04d}.params")
        assert describe(path) == of_file(ABOUT, path)
        assert json.loads(open(description_path(path)).read())["epoch"] == epoch
    best = json.loads((tmp_path / "x_best.json").read_text())
    assert best["score"] == 3.0 and best["epoch"] == 1 and describe(str(tmp_path / "x_best.params")).label == CLS


def test_converted_files_carry_it(described, tmp_path, capsys):
    for target in ("x.npz", "sub/x.params", f"{CLS}_ep-0001.npz"):
        path = str(tmp_path / target)
        weights.main(["convert", described, path])
        assert describe(path) == of_file(ABOUT, path)
    assert describe(described) == of_file(ABOUT, described)
    os.unlink(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="x.npz.json is there already: --overwrite"):
        weights.main(["convert", described, str(tmp_path / "x.npz")])


def test_the_metadata_of_an_onnx_file_is_read_without_any_library(tmp_path):
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Identity", ["data"], ["out"])
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("data", "out")]
    constant = onnx.numpy_helper.from_array(np.zeros(1000, np.float32), "c")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", infos[:1], infos[1:], [constant]))
    onnx.helper.set_model_props(model, ABOUT.properties())
    path = str(tmp_path / "x.onnx")
    onnx.save(model, path)
    assert dict(onnx_properties(path)) == ABOUT.properties()
    assert describe(path) == ABOUT
    for content in (b"", b"\x07", b"no onnx", b"\xff" * 12, open(path, "rb").read()[:-5]):
        with open(path, "wb") as out:
            out.write(content)
        with pytest.raises(ValueError, match="x.onnx (is no whole ONNX file|does not say what its inputs)"):
            describe(path)


def test_formats_that_are_no_params_are_described_by_their_names(made, tmp_path):
    from ademxapp.weights.formats import read_weights
    path = str(tmp_path / f"{SEG}_ep-0001.npz")
    write_weights(path, read_weights(str(made / f"{SEG}_ep-0001.params")))
    assert describe(path).task == "segmentation" and describe(path).head == "2conv"
