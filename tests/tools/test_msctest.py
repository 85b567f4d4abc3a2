"""Tests of segmentation through the commands: scales, networks, stored scores, windows, shards, what is done."""
import io
import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from ademxapp import machine
from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.engine import load
from ademxapp.evaluation import dense, windows
from ademxapp.evaluation.score_files import read_scores, write_scores
from ademxapp.symbol import SymbolOptions, parse_label, segmentation_symbol
from ademxapp.weights.parameters import Parameters, parameter_shapes, save_parameters
from issegm import Segmenter, testing, voc
from issegm.settings import shard
from tools import msctest

LABEL = "demo_rna-b1-w0.02_cls6_s8"
HALF = 2.0 ** -11  # float16's relative rounding


def symbol_to_test():
    return segmentation_symbol(parse_label(LABEL), SymbolOptions(bn_use_global_stats=True), "1conv", "softmax")


def save_network(path, seed):
    """Random weights whose classes differ from place to place."""
    symbol = symbol_to_test()
    args, auxs = parameter_shapes(symbol, data=(1, 3, 64, 64))
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape) if name.endswith("_weight")
              else np.full(shape, float(name.endswith("_gamma"))) for name, shape in args.items()}
    top = next(name for name in values if name.startswith("linear") and name.endswith("_weight"))
    values[top] -= values[top].mean(0)
    save_parameters(str(path), Parameters(
        {name: np.float32(value) for name, value in values.items()},
        {name: np.full(shape, np.float32(name.endswith("_var"))) for name, shape in auxs.items()}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four images with truths, and two networks."""
    folder = tmp_path_factory.mktemp("msctest")
    rng, lines = np.random.default_rng(0), []
    for i in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8))
        os.makedirs(folder / "images", exist_ok=True)
        coarse.resize((48, 40), Image.BICUBIC).save(folder / "images" / f"i{i}.png")
        write_png(str(folder / "labels" / f"i{i}.png"), rng.choice([0, 1, 2, 3, 4, 5, 255], (40, 48)).astype(np.uint8))
        lines.append(f"images/i{i}.png\tlabels/i{i}.png\n")
    (folder / "val.lst").write_text("".join(lines))
    for name, seed in (("", 1), ("_other", 2)):
        save_network(folder / f"{LABEL}{name}_ep-0001.params", seed)
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


def drive(how="", scales="48", name=LABEL):
    """issegm/voc.py on the list; its folder is named after --tag, which is the first word."""
    voc.main(["--phase", "val", "--weights", f"{name}_ep-0001.params", "--test-scales", scales, "--list", "val.lst",
              "--data-root", ".", "--split", "val", "--cpus", "1", *how.split()])


def average(how):
    msctest.main(["--list", "val.lst", "--data-root", ".", "--cpus", "1", *how.split()])


def result(folder):
    return json.loads(Path(folder, "result.json").read_text())


def labels(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))])


def same(one, other):
    """Whether two tests have the same labels and counts."""
    return np.array_equal(labels(one), labels(other)) and result(one)["confusion"] == result(other)["confusion"]


W = f"{LABEL}_ep-0001"


# Averages


def test_one_scale_as_several_is_the_same_bit_for_bit(world):
    drive("--test-flipping --save-predictions --no-save-results --tag plain")
    drive("--test-flipping --tag labels")
    average(f"--weights {W}.params --test-scales 48 --test-flipping")
    assert same(f"{W}_labels", f"{W}_msc") and len(np.unique(labels(f"{W}_labels"))) > 2
    stored, _ = read_scores(f"{W}_plain/scores/images/i0.h5")
    one = dense.scores_at_image_size([stored])
    for maps, weights in (([stored], [3.0]), ([stored, stored], None), ([stored, stored], [1.0, 0.0])):
        np.testing.assert_array_equal(dense.scores_at_image_size(maps, weights), one)


def test_averages_of_stored_scores_are_those_of_the_networks(world, capfd):
    drive("--test-flipping --save-predictions", "36,48")
    drive("--save-predictions", "64", f"{LABEL}_other")
    kept = sorted(str(path.relative_to(world)) for path in world.rglob("*.h5"))
    assert kept == sorted([f"{W}/scores/scale-{scale}/images/i{i}.h5" for scale in (36, 48) for i in range(4)]
                          + [f"{LABEL}_other_ep-0001/scores/images/i{i}.h5" for i in range(4)])
    average(f"--weights {W}.params --predictions {LABEL}_other_ep-0001 --test-scales 36,48 --test-flipping "
            "--weights-of 3,1 --tag half --output o")
    average(f"--predictions {W} --predictions {LABEL}_other_ep-0001 --weights-of 3,1 --output o")
    half, none = labels(f"o/{W}_msc_half"), labels(f"o/{W}_msc")
    maps = [[read_scores(f"{W}/scores/scale-{scale}/images/i{i}.h5")[0] for scale in (36, 48)]
            + [read_scores(f"{LABEL}_other_ep-0001/scores/images/i{i}.h5")[0]] for i in range(4)]
    scores = np.stack([dense.scores_at_image_size(one, [1.5, 1.5, 1]) for one in maps])
    np.testing.assert_array_equal(none, scores.argmax(1))
    best = np.sort(scores, 1)
    clear = best[:, -1] - best[:, -2] > 4 * HALF
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(half[clear], none[clear])
    assert result(f"o/{W}_msc")["arguments"]["weights_of"] == [3.0, 1.0]
    assert (labels(W) != none).any()  # the other network counts
    assert "Bucketing" not in capfd.readouterr().err  # MXNet, where a larger input follows a smaller one


def test_stored_scores_are_the_networks_within_float16(world):
    drive("--test-flipping --test-steps 2 --save-predictions", "52")
    stored, attributes = read_scores(f"{W}/scores/images/i1.h5", (40, 48), 6)
    image = np.asarray(Image.open("images/i1.png"))
    network = Segmenter.load(f"{W}.params", devices=load().devices(cpus=1), scales=(52,), steps=2, flipping=True)
    direct, = network.score_maps(None, image)
    np.testing.assert_allclose(stored.scores, direct.scores, rtol=HALF, atol=1e-7)
    assert (stored.cell, stored.scaled, stored.size) == (direct.cell, direct.scaled, direct.size) == (
        4, (43, 52), (40, 48))
    assert attributes.pop("identity") == result(W)["identity"]
    assert attributes == {"scale": 52, "flip": True, "steps": 2, "pred_stride": 4, "input_size": [56, 56],
                          "image_size": [40, 48], "weights": f"{W}.params"}
    with h5py.File(f"{W}/scores/images/i1.h5") as file:
        assert file["scores"].dtype == np.float16 and file["scores"].shape == (6, 14, 14)


def test_weights_of_zero_and_one_pick_a_network(world):
    average(f"--weights {W}.params --weights {LABEL}_other_ep-0001.params --weights-of 0,1 --test-scales 48")
    drive(name=f"{LABEL}_other")
    assert same(f"{W}_msc", f"{LABEL}_other_ep-0001")


# Shards, what is done, windows


def test_shards_add_up_to_the_whole(world, capsys):
    drive("--tag whole")
    for i in (1, 2, 3):
        drive(f"--shard {i}/3")
    parts = [f"{W}_shard-{i}-of-3" for i in (1, 2, 3)]
    assert [result(part)["images"] for part in parts] == [2, 1, 1]
    assert result(parts[1])["arguments"]["shard"] == [2, 3]
    whole = np.array(result(f"{W}_whole")["confusion"])
    np.testing.assert_array_equal(sum(np.array(result(part)["confusion"]) for part in parts), whole)
    capsys.readouterr()
    average(f"--score {' '.join(parts)} --output added")
    scores = result("added")
    assert {name: scores[name] for name in ("mean_iou", "pixel_acc", "class_iou")} == {
        name: result(f"{W}_whole")[name] for name in ("mean_iou", "pixel_acc", "class_iou")}
    assert f"mean IoU {scores['mean_iou']:5.2f}%" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no label image of images/i1.png in .*shard-1-of-3.*2 of 4 images in all"):
        average(f"--score {parts[0]}")
    with pytest.raises(ValueError, match="two label images of images/i0.png"):
        average(f"--score {parts[0]} {W}_whole")
    with pytest.raises(ValueError, match="--shard 5/5 has no image: the list has 4"):
        drive("--shard 5/5")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_shards_are_numbered_from_one(text):
    with pytest.raises(Exception, match="wanted I/N, for instance 1/4 to 4/4"):
        shard(text)


@pytest.fixture
def predicted(monkeypatch):
    """Images that went through a network."""
    seen = []

    def counting(predict, image, *rest):
        seen.append(image.shape)
        return dense.predict_dense(predict, image, *rest)

    monkeypatch.setattr("issegm.segmenter.predict_dense", counting)
    return seen


def test_what_is_done_is_scored_and_not_predicted_again(world, predicted):
    drive("--save-predictions --tag a")
    before, was = labels(f"{W}_a"), result(f"{W}_a")
    for name in ("i1.png", "correct/i2.png", "scores/images/i3.h5", "result.json"):
        os.unlink(f"{W}_a/{name}")  # of an unfinished test; what says that is there until it has a result
    Path(f"{W}_a/unfinished.json").write_text(json.dumps({name: was[name] for name in ("arguments", "weights_sha256")}))
    del predicted[:]
    drive("--save-predictions --tag a --skip-done")
    assert len(predicted) == 3
    now = result(f"{W}_a")
    assert now["confusion"] == was["confusion"] and (now["images"], now["images_done_before"]) == (4, 1)
    np.testing.assert_array_equal(labels(f"{W}_a"), before)
    assert not Path(f"{W}_a/unfinished.json").exists()
    del predicted[:]
    drive("--save-predictions --tag a --skip-done")
    assert not predicted and result(f"{W}_a")["confusion"] == was["confusion"]


def test_what_is_done_counts_as_it_lies_there(world):
    """A label image that was changed since is scored as it is: nothing is taken from memory."""
    drive("--tag a")
    before = np.array(result(f"{W}_a")["confusion"])
    old = np.asarray(Image.open(f"{W}_a/i0.png"))
    write_png(f"{W}_a/i0.png", np.zeros_like(old))
    drive("--tag a --skip-done")
    change = np.array(result(f"{W}_a")["confusion"]) - before
    assert change[:, 0].sum() == (old[np.asarray(Image.open("labels/i0.png")) != 255] != 0).sum() == -change[
        :, 1:].sum()


@pytest.mark.parametrize("change", ["weights", "arguments"])
def test_what_stems_from_something_else_is_predicted_again(world, predicted, change):
    drive("--tag a")
    del predicted[:]
    if change == "weights":
        shutil.copy(f"{LABEL}_other_ep-0001.params", f"{W}.params")
        with pytest.raises(UsageError, match="holds the result of a test with another weights: give this one a --tag"):
            drive("--tag a --skip-done")
    drive("--tag a --skip-done --overwrite" + ("" if change == "weights" else " --test-flipping"))
    assert len(predicted) == 4 and "images_done_before" not in result(f"{W}_a")
    drive("--tag b" + ("" if change == "weights" else " --test-flipping"))
    assert same(f"{W}_a", f"{W}_b")


def test_an_unfinished_test_is_not_replaced_by_another(world):
    drive("--tag a")
    os.rename(f"{W}_a/result.json", f"{W}_a/unfinished.json")
    before = labels(f"{W}_a")
    with pytest.raises(UsageError, match="holds an unfinished test with another test_flipping.*--overwrite"):
        drive("--tag a --test-flipping --skip-done")
    np.testing.assert_array_equal(labels(f"{W}_a"), before)
    drive("--tag a --test-flipping --overwrite")
    assert not Path(f"{W}_a/unfinished.json").exists()


def test_windows_when_asked_and_when_memory_is_short(world, monkeypatch):
    drive("--tag whole", "96")
    drive("--window 40 --tag windows", "96")
    drive("--window 96 --tag fits", "96")
    assert same(f"{W}_whole", f"{W}_fits") and not same(f"{W}_whole", f"{W}_windows")
    free = 4 * sum(windows.parameter_counts(symbol_to_test(), (1, 3, 96, 96)))
    monkeypatch.setattr(load(), "planned_bytes", lambda symbol, shape, *_: 1000 * shape[2] * shape[3])
    monkeypatch.setattr(machine, "free_bytes", lambda: (free + 1000 * 72 * 72) / windows.MEMORY_SHARE + 1)
    drive("--tag short --save-predictions", "96")
    assert result(f"{W}_short")["windows_chosen"] == {"96x96": 72}
    assert "inputs of 96x96 pixels need" in Path(f"{LABEL}.log").read_text()
    assert read_scores(f"{W}_short/scores/images/i0.h5")[1]["window"] == 72
    drive("--window 72 --tag asked", "96")
    assert same(f"{W}_short", f"{W}_asked")
    monkeypatch.setattr(machine, "free_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="windows of 64 neither: free some"):
        drive("--tag none", "96")


def test_inputs_with_more_numbers_than_mxnet_counts_go_in_windows(monkeypatch, caplog):
    caplog.set_level("INFO", "ademxapp")
    monkeypatch.setattr(machine, "free_bytes", lambda: 2 ** 60)
    symbol = symbol_to_test()
    window = windows.WindowChoice(symbol, load().devices(cpus=1), 1, 8)
    assert window((2000, 3000)) == 0 and not caplog.messages
    side = window((60000, 60000))
    assert side % 8 == 0 and 10000 < side < 60000
    assert "60000x60000 pixels need more than there can be" in caplog.messages[0]


@pytest.mark.skipif(not dense.crf_available(), reason="pydensecrf is not installed")
def test_crf_in_both_programs_and_the_search(world, capsys):
    drive("--save-predictions --no-save-results --tag kept")
    how = "--crf --crf-iterations 2 --crf-bilateral-width 20 --crf-workers 1"
    drive(f"--tag crf {how}")
    average(f"--predictions {W}_kept --output o {how}")
    assert (labels(f"{W}_crf") != labels(f"o/{W}_kept_msc")).mean() < 0.01  # float16
    assert result(f"{W}_crf")["crf_cpu_seconds"] > 0 and result(f"{W}_crf")["arguments"]["crf_gaussian_width"] == 3
    capsys.readouterr()
    average(f"--predictions {W}_kept --search --crf-iterations 2 --crf-bilateral-width 20,40 --crf-gaussian-weight 0,3 "
            "--crf-workers 1")
    head, *rows = capsys.readouterr().out.splitlines()
    scores = [float(row.split()[0]) for row in rows]
    assert len(rows) == 5 and scores == sorted(scores) and sum("no CRF" in row for row in rows) == 1
    found = json.loads(Path(f"{W}_kept_msc/search.json").read_text())["results"]
    assert [round(row["mean_iou"], 2) for row in found] == scores and {"crf": None}.items() <= found[
        next(i for i, row in enumerate(rows) if "no CRF" in row)].items()
    row, = (row.split() for row in rows if row.split()[2:] == ["2", "3", "3", "4", "20", "3"])
    assert float(row[0]) == pytest.approx(result(f"o/{W}_kept_msc")["mean_iou"], abs=0.006)
    assert head.split()[-6:] == ["iterations", "gaussian_weight", "gaussian_width", "bilateral_weight",
                                 "bilateral_width", "bilateral_colour"]


def test_the_bar_shows_the_score_so_far(world, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(testing, "tqdm", lambda **rest: tqdm(**{**rest, "disable": False, "file": shown,
                                                                "mininterval": 0}))
    drive("--tag whole")
    last = shown.getvalue().split("\r")[-1]
    assert "4/4" in last and f"mean IoU {result(f'{W}_whole')['mean_iou']:.2f} %" in last
    drive("--shard 1/4")
    assert f"mean IoU {result(f'{W}_shard-1-of-4')['mean_iou']:.2f} %" in shown.getvalue()  # as after the first image


# Odd photographs


def test_odd_photographs_are_segmented(world):
    rng = np.random.default_rng(0)

    def save(name, size, mode):
        shape = size[::-1] + (() if mode == "L" else (4,) if mode == "CMYK" else (3,))
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8), mode).save(f"images/{name}")

    sizes = {"thin.png": (40, 1), "high.png": (1, 40), "long.jpg": (3000, 20), "point.png": (1, 1)}
    for name, size in sizes.items():
        save(name, size, "RGB")
    save("grey.png", (50, 30), "L")
    save("cmyk.jpg", (30, 50), "CMYK")
    sizes.update({"grey.png": (50, 30), "cmyk.jpg": (30, 50)})
    Path("val.lst").write_text("".join(f"images/{name}\n" for name in sizes))
    drive("--phase test --test-flipping --save-predictions", "48,96")
    for name, size in sizes.items():
        assert Image.open(f"{W}/{Path(name).stem}.png").size == size
    average(f"--predictions {W} --output o")
    assert labels_of("o/" + f"{W}_msc") == labels_of(W)


def labels_of(folder):
    return {path.name: np.asarray(Image.open(path)).shape for path in Path(folder).glob("*.png")}


# What is wrong is named


def cut(path):
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:len(data) // 2])


def no_file(path):
    os.unlink(path)


def other_geometry(path):
    """Of an image of another size."""
    scores = np.full((6, 7, 7), 1 / 6, np.float32)
    settings = dense.DenseSettings((0, 0, 0), (1, 1, 1), 8)
    write_scores(path, dense.ScoreMap(scores, 8, (48, 40), (60, 50)), 48, settings, W)


def other_classes(path):
    scores, attributes = read_scores(path)
    settings = dense.DenseSettings((0, 0, 0), (1, 1, 1), 8)
    write_scores(path, dense.ScoreMap(scores.scores[:5], 8, scores.scaled, scores.size), 48, settings, W)


def other_grid(path):
    with h5py.File(path, "a") as file:
        file["scores"].attrs["pred_stride"] = 4


def no_attributes(path):
    with h5py.File(path, "a") as file:
        del file["scores"].attrs["steps"]


def no_scores(path):
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        file["other"] = [1]


@pytest.fixture(scope="module")
def kept(made, tmp_path_factory):
    """A test's folder with score maps."""
    folder = tmp_path_factory.mktemp("kept") / "kept"
    here = os.getcwd()
    os.chdir(made)
    try:
        drive(f"--save-predictions --output {folder}")
    finally:
        os.chdir(here)
    return folder / W


@pytest.mark.parametrize("spoil, words", [
    (cut, "i2.h5 is no whole score file: .*truncated"), (no_file, "there is no .*i2.h5 of 4 score maps"),
    (other_geometry, "i2.h5 is of an image of 50x60 pixels, the image has 48x40"),
    (other_classes, "i2.h5 has 5 classes, wanted 6"), (other_grid, "i2.h5: 6x6 cells do not fit an input of 48x48"),
    (no_attributes, "i2.h5 is no score file.*no attribute steps"), (no_scores, "i2.h5 is no whole score file.*scores"),
])
def test_wrong_score_files_are_named_and_nothing_is_scored(world, kept, spoil, words):
    shutil.copytree(kept, "kept")
    spoil("kept/scores/images/i2.h5")
    with pytest.raises((ValueError, OSError), match=words):
        average("--predictions kept --output o")
    assert not list(Path("o").rglob("result.json"))


def small(path):
    write_png(path, np.zeros((20, 24), np.uint8))


def without_class(path):
    write_png(path, np.full((40, 48), 255, np.uint8))


def unknown_class(path):
    write_png(path, np.full((40, 48), 9, np.uint8))


@pytest.mark.parametrize("spoil, words", [
    (cut, "i2.png cannot be decoded"), (small, "i2.png has 24x20 pixels, its image 48x40"),
    (without_class, "i2.png has pixels without a class of demo"), (unknown_class, "i2.png has label 9"),
    (no_file, "no label image of images/i2.png in kept, and of 1 of 4 images in all: nothing was scored")])
def test_wrong_label_images_are_named_and_nothing_is_scored(world, kept, capsys, spoil, words):
    shutil.copytree(kept, "kept")
    spoil("kept/i2.png")
    with pytest.raises(ValueError, match=words):
        average("--score kept --output o")
    assert not Path("o").exists() and not capsys.readouterr().out


@pytest.mark.parametrize("how, words", [
    ("", "nothing to average"), (f"--weights {W}.params", "--weights needs --test-scales"),
    (f"--weights {W}.params --test-scales 48 --weights-of 1,2", "--weights-of has 2 numbers for 1 networks"),
    (f"--weights {W}.params --test-scales 48 --weights-of 0", "only zeros"),
    (f"--weights {W}.params --test-scales 48 --test-steps 3", "--test-steps 3 does not divide"),
    (f"--weights {W}.params --test-scales 48 --crf-iterations 3", "--crf-iterations without --crf"),
    ("--predictions nowhere", "no score maps in nowhere"), ("--predictions images", "no score maps in images"),
    (f"--weights {W}.params --score images", "do not go with it"), ("--score images", "names? the dataset|tells the"),
    ("--score images --dataset atlantis", "atlantis"),
])
def test_wrong_use_of_msctest(world, how, words):
    with pytest.raises(UsageError, match=words):
        average(how)
    assert not list(world.rglob("*.log"))


@pytest.mark.parametrize("how, words", [
    ("--skip-done --no-save-results", "--skip-done goes by the label images"),
    ("--crf-bilateral-weight 3", "--crf-bilateral-weight without --crf"), ("--shard 3", "wanted I/N"),
    pytest.param("--crf --crf-bilateral-weight 3,4", "more than one value", marks=pytest.mark.skipif(
        not dense.crf_available(), reason="pydensecrf is not installed"))])
def test_wrong_use_of_the_driver(world, how, words):
    with pytest.raises(UsageError, match=words):
        drive(how)
    assert not list(world.rglob("*.log"))


def test_networks_of_different_classes_cannot_be_averaged(world):
    shutil.copy(f"{W}.params", "demo_rna-b1-w0.02_cls7_s8_ep-0001.params")
    with pytest.raises(UsageError, match="cls7.* has 7 classes, the first network 6"):
        average(f"--weights {W}.params --weights demo_rna-b1-w0.02_cls7_s8_ep-0001.params --test-scales 48")
