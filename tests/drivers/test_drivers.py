"""The drivers as users run them: what they write, and how they fail."""
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from worlds import site_without, write_data

from ademxapp import cli
from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.images import write_png
from ademxapp.data.scenes import CLASSES as DEMO_CLASSES
from ademxapp.engine import usual
from ademxapp.files import digest
from ademxapp.symbol.recorder import load_json
from ademxapp.training.snapshots import load_snapshot, only_run
from ademxapp.weights.describe import describe
from ademxapp.weights.parameters import load_parameters, read_params
from iclass import ilsvrc

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .+")
CLS, SEG = "tiny_rna-b1-w0.02_cls2", "demo_rna-b1-w0.02_cls6_s8"
MODULES = {"ilsvrc": "iclass.ilsvrc", "voc": "issegm.voc"}
TRAIN = {
    "ilsvrc": f"--model {CLS} --crop-size 32 --batch-images 4 --to-epoch 2 --cpus 1",
    "voc": f"--model {SEG} --weights output/{CLS}_ep-0002.params --crop-size 60 --batch-images 4 --to-epoch 2 --cpus 2 "
           "--origin-size 64 --base-lr 1e-6",
}
VAL = {
    "ilsvrc": f"--phase val --weights output/{CLS}_ep-0002.params --split val --test-scales 32 --batch-images 3 "
              "--cpus 1",
    "voc": f"--phase val --weights output/{SEG}_ep-0002.params --split val --test-scales 48 --cpus 1",
}
REPORT = {"epoch", "batch", "lr", "loss", "accuracy", "images_per_s", "seconds_left", "top_class", "top_class_share",
          "top_class_true_share", "batches", "late"}
RESULT = {"label", "weights", "split", "arguments", "versions", "images", "images_per_second", "paper", "task",
          "identity", "weights_sha256", "samples_sha256", "dataset_sha256"}
SCORES = {
    "ilsvrc": {"top1_error", "top5_error"},
    "voc": {"pixel_acc", "mean_acc", "mean_iou", "class_acc", "class_iou", "classes_absent", "mean_iou_original",
            "confusion", "frequency_weighted_iou", "mean_of_pixel_acc_and_mean_iou",
            "seconds", "cpu_seconds", "crf_cpu_seconds", "processors"},
}


def run_script(folder, program, arguments, **environment):
    """A driver in a process of its own."""
    package = MODULES[program].split(".")[0]
    return subprocess.run([sys.executable, str(ROOT / package / f"{program}.py"), *shlex.split(arguments)], cwd=folder,
                          capture_output=True, text=True, timeout=280, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data, and in output/ what training a classifier and from it a segmenter writes."""
    folder = tmp_path_factory.mktemp("drivers")
    write_data(folder)
    for program in TRAIN:
        done = run_script(folder, program, TRAIN[program])
        assert done.returncode == 0, done.stderr
        assert not other_lines(done.stderr) and not done.stdout
    return folder


@pytest.fixture
def world(trained, tmp_path, monkeypatch):
    """A copy of `trained` to work in."""
    shutil.copytree(trained, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def drive(monkeypatch, capfd):
    """Runs a driver in this process as its script does: (exit status, lines on stderr that are not the log's)."""
    def run(program, arguments):
        monkeypatch.setattr(sys, "argv", [f"{program}.py", *shlex.split(arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.run(MODULES[program])
        for handler in list(logging.getLogger("ademxapp").handlers):
            handler.close()
        return ended.value.code or 0, other_lines(capfd.readouterr().err)
    return run


def other_lines(text):
    return [line for line in text.splitlines() if not LOG_LINE.fullmatch(line)]


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def reports(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# What a run leaves


@pytest.mark.parametrize("label, extra", [(CLS, set()), (SEG, {"kept"})])
def test_training_leaves_checkpoint_log_reports_curves_and_snapshot(trained, label, extra):
    found = {name for name in files(trained / "output") if name.startswith(label)}
    snapshot = f"{label}_snapshot/0002-000000"
    parts = ("parameters.params", "optimizer.params", "state.json")
    assert found == {f"{label}.log", f"{label}.jsonl", f"{label}.png", f"{label}_ep-symbol.json",
                     *(f"{label}_ep-{epoch:04d}.{end}" for epoch in (1, 2) for end in ("params", "json")),
                     f"{label}_snapshot/.lock",
                     *(f"{label}_snapshot/{epoch:04d}-000000/{name}" for epoch in (1, 2) for name in parts)}
    rows = reports(trained / "output" / f"{label}.jsonl")
    assert all(set(row) == REPORT | extra for row in rows)
    assert [(row["epoch"], row["batch"]) for row in rows] == [(epoch, batch) for epoch in (1, 2) for batch in (1, 2)]
    assert all(np.isfinite(row["loss"]) and 0 <= row["accuracy"] <= 1 for row in rows)
    assert rows[-1]["seconds_left"] == 0
    state = json.loads((trained / "output" / snapshot / "state.json").read_text())
    assert (state["epoch"], state["batch"], state["arguments"]["seed"]) == (2, 0, 0)
    assert {usual(), "numpy", "python"} <= set(state["versions"])
    log = (trained / "output" / f"{label}.log").read_text()
    assert all(LOG_LINE.fullmatch(line) for line in log.splitlines())
    assert f"--model {label}" in log and "remaining 0:00:00" in log
    assert Image.open(trained / "output" / f"{label}.png").size[0] > 500
    symbol = load_json((trained / "output" / f"{label}_ep-symbol.json").read_text())
    written = load_parameters(str(trained / "output" / f"{label}_ep-0002.params"))
    assert symbol.list_outputs() == ["softmax_output"]
    assert set(written.args) == set(symbol.list_arguments()) - {"data", "softmax_label"}


def test_checkpoints_say_what_testing_needs(trained):
    classifier, segmenter = (describe(str(trained / "output" / f"{label}_ep-0002.params")) for label in (CLS, SEG))
    assert (classifier.label, classifier.task, classifier.test_scale, classifier.crop_size) == (
        CLS, "classification", 32, 32)
    assert (segmenter.label, segmenter.task, segmenter.head, segmenter.test_scale, segmenter.origin_size) == (
        SEG, "segmentation", "2conv", 64, 64)
    assert segmenter.crop_size == 64 and segmenter.class_names == DEMO_CLASSES and len(segmenter.palette) == 256
    assert segmenter.recipe["base_lr"] == 1e-6 and {usual(), "numpy"} <= set(segmenter.versions)
    written = json.loads((trained / "output" / f"{SEG}_ep-0002.json").read_text())
    assert written["epoch"] == 2 and written["weights_sha256"] == digest(
        str(trained / "output" / f"{SEG}_ep-0002.params"))


def test_fine_tuning_says_what_it_takes_and_keeps_the_statistics(trained):
    log = (trained / "output" / f"{SEG}.log").read_text()
    assert "60 rounded up to a multiple of the stride 8" in log and "64 pixels" in log
    assert "started afresh: conv6a_weight, conv6a_bias, linear6_weight, linear6_bias" in log
    assert "left aside: linear2_weight, linear2_bias" in log
    before, after = (load_parameters(str(trained / "output" / f"{label}_ep-0002.params")) for label in (CLS, SEG))
    for name, value in before.auxs.items():
        np.testing.assert_array_equal(after.auxs[name], value, err_msg=name)


def test_poor_starts_are_warned_of(world, drive):
    assert drive("voc", "--model demo_rna-b1-w0.02_cls6 --crop-size 64 --origin-size 64 --batch-images 4 --cpus 1 "
                 "--base-lr 1e-6 --to-epoch 1") == (0, [])
    log = (world / "output" / "demo_rna-b1-w0.02_cls6.log").read_text()
    assert "warning: no --weights: " in log
    assert "warning: the label demo_rna-b1-w0.02_cls6 has no _s8" in log and "--model demo_rna-b1-w0.02_cls6_s8" in log
    assert "warning" not in (world / "output" / f"{SEG}.log").read_text()


def test_validation_during_training(world, drive):
    for program, score in (("ilsvrc", "top1_accuracy"), ("voc", "mean_iou")):
        label = CLS if program == "ilsvrc" else SEG
        assert drive(program, f"{TRAIN[program]} --output watched --val-every 1") == (0, [])
        rows = reports(f"watched/{label}_val.jsonl")
        assert [row["epoch"] for row in rows] == [1, 2]
        best = max(rows, key=lambda row: row[score])
        assert json.loads(Path(f"watched/{label}_best.json").read_text()).items() >= best.items()
        how = VAL[program].replace(f"output/{label}_ep-0002", f"watched/{label}_best")
        how = how.replace("--test-scales 48", "--test-scales 64")  # as --origin-size in TRAIN
        assert drive(program, how) == (0, [])
        result = json.loads(Path(f"watched/{label}_best/result.json").read_text())
        found = 100 - result["top1_error"] if program == "ilsvrc" else result[score]
        assert found == pytest.approx(best[score], abs=1e-6)
        plain, watched = (read_params(f"{folder}/{label}_ep-0002.params") for folder in ("output", "watched"))
        for name, value in plain.items():
            np.testing.assert_array_equal(watched[name], value, err_msg=name)


@pytest.mark.parametrize("program, images", [("ilsvrc", 4), ("voc", 4)])
def test_testing_leaves_result_and_pictures(world, drive, program, images):
    assert drive(program, VAL[program]) == (0, [])
    label = CLS if program == "ilsvrc" else SEG
    folder = world / "output" / f"{label}_ep-0002"
    result = json.loads((folder / "result.json").read_text())
    assert set(result) == RESULT | SCORES[program]
    assert (result["label"], result["split"], result["images"]) == (label, "val", images)
    assert result["weights"] == f"output/{label}_ep-0002.params" and result["paper"] is None
    assert result["arguments"]["test_flipping"] is False and result["images_per_second"] > 0
    if program == "ilsvrc":
        assert 0 <= result["top1_error"] <= 100 and result["top5_error"] == 0
        assert files(folder) == ["predictions.tsv", "result.json"]
        return
    names = [f"val{i}.png" for i in range(images)]
    assert files(folder) == sorted(["result.json", *names, *(f"correct/{name}" for name in names)])
    right = scored = 0
    for name in names:
        found, truth = Image.open(folder / name), np.asarray(Image.open(world / "data" / "demo" / "labels" / name))
        assert found.mode == "P" and found.size == (48, 40)
        assert found.getpalette()[:768] == voc_palette().reshape(-1).tolist()
        labels, correct = np.asarray(found), np.asarray(Image.open(folder / "correct" / name))
        assert labels.max() < 6
        np.testing.assert_array_equal(correct, np.where(truth == 255, 255, np.where(labels == truth, 127, 0)))
        right, scored = right + (labels == truth)[truth != 255].sum(), scored + (truth != 255).sum()
    assert result["pixel_acc"] == pytest.approx(100 * right / scored)
    assert np.sum(result["confusion"]) == scored and len(result["class_iou"]) == 6
    assert set(result["classes_absent"]) <= {"house", "star"}  # the truths have the other four


def test_testing_with_all_there_is(world, drive):
    """Several scales, flips, crops, devices and workers: the same result whatever the devices and workers are."""
    extra = {"ilsvrc": "--test-scales 32,40 --test-flipping --test-3crops",
             "voc": "--test-scales 48,36 --test-flipping --test-steps 2 --no-save-results"}
    where = ("--cpus 1 --prefetch-threads 1", "--cpus 2 --prefetch-threads 2 --prefetcher process --batch-images 5")
    for program, how in extra.items():
        scores = []
        for number, devices in enumerate(where):
            weights = VAL[program].split(" --test-scales")[0]
            assert drive(program, f"{weights} {how} {devices} --tag t{number}") == (0, [])
            label = CLS if program == "ilsvrc" else SEG
            folder = world / "output" / f"{label}_ep-0002_t{number}"
            assert files(folder) == ["predictions.tsv", "result.json"][program == "voc":]
            result = json.loads((folder / "result.json").read_text())
            scores.append({name: result[name] for name in SCORES[program] & {"top1_error", "pixel_acc", "mean_iou"}})
        assert scores[0] == pytest.approx(scores[1], abs=0.5)


def test_a_result_with_other_arguments_is_kept(world, drive):
    assert drive("voc", VAL["voc"]) == (0, [])
    assert drive("voc", VAL["voc"])[0] == 0  # the same again
    folder = world / "output" / f"{SEG}_ep-0002"
    before = {name: (folder / name).read_bytes() for name in files(folder)}
    status, (line,) = drive("voc", f"{VAL['voc']} --test-flipping")
    assert status == 2 and "test_flipping" in line and "--tag" in line and "--overwrite" in line
    assert {name: (folder / name).read_bytes() for name in files(folder)} == before
    assert drive("voc", f"{VAL['voc']} --test-flipping --tag flip") == (0, [])
    assert drive("voc", f"{VAL['voc']} --test-flipping --overwrite") == (0, [])
    results = [json.loads((path / "result.json").read_text()) for path in (folder, Path(f"{folder}_flip"))]
    assert all(result["arguments"]["test_flipping"] for result in results)


@pytest.mark.parametrize("damaged", [b"5", b"\xff", b"[1, 2"])
def test_a_damaged_result_is_told_and_can_be_replaced(world, drive, damaged):
    result = world / "output" / f"{SEG}_ep-0002" / "result.json"
    result.parent.mkdir(exist_ok=True)
    result.write_bytes(damaged)
    status, (line,) = drive("voc", VAL["voc"])
    assert status == 1 and "result.json is no result of a test: remove it, or give --overwrite" in line
    assert result.read_bytes() == damaged
    assert drive("voc", f"{VAL['voc']} --overwrite") == (0, [])
    assert json.loads(result.read_text())["images"] == 4


@pytest.mark.parametrize("program, more, words", [
    ("ilsvrc", "--test-scales 24 --test-crop-size 32", "crops of 32 pixels are larger than the images' shorter side"),
    ("voc", "--crf", "--crf is for --phase val")])
def test_validations_that_cannot_be_are_told_before_the_training(world, drive, program, more, words):
    status, (line,) = drive(program, f"{TRAIN[program]} --output never --val-every 1 {more}")
    assert status == 2 and words in line
    assert not list((world / "never").glob("*.params"))


@pytest.mark.parametrize("program, place", [("ilsvrc", "data/tiny/val"), ("voc", "data/demo/val.lst")])
def test_a_validation_without_images_names_its_own_list(world, drive, program, place):
    (world / place).rename("elsewhere")
    status, (line,) = drive(program, f"{TRAIN[program]} --output never --val-every 1")
    assert status == 2 and "no samples found" in line and "; --val-list FILE names others" in line
    assert "--records" not in line


@pytest.mark.parametrize("program, more", [
    ("ilsvrc", ""), ("voc", ""), ("voc", "--cpus 1 --prefetch-threads 2 --prefetcher process --optimizer adam "
                                         "--lr-warmup 1.5 --class-weights 1,2,1,1,0.5,1")])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bits(world, drive, program, more):
    label = CLS if program == "ilsvrc" else SEG
    how = TRAIN[program].replace("--to-epoch 2", "--to-epoch 3 --lr-type linear --seed 5")
    how = re.sub("--cpus .", more, how) if more else how
    assert drive(program, f"{how} --output whole") == (0, [])
    assert drive(program, f"{how} --output parts --stop-epoch 1") == (0, [])
    assert [row["epoch"] for row in reports(f"parts/{label}.jsonl")] == [1, 1]
    assert drive(program, f"{how} --output parts --resume") == (0, [])
    same = ("epoch", "batch", "lr", "loss", "accuracy", "kept", "top_class_share")
    whole, parts = ([{name: row.get(name) for name in same} for row in reports(f"{run}/{label}.jsonl")]
                    for run in ("whole", "parts"))
    assert whole == parts and len(whole) == 6
    for kind in (f"{label}_ep-0003.params", f"{label}_snapshot/0003-000000/optimizer.params"):
        one, other = (read_params(f"{run}/{kind}") for run in ("whole", "parts"))
        assert set(one) == set(other) and one
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_resume_wants_the_same_arguments(world, drive):
    status, (line,) = drive("ilsvrc", f"{TRAIN['ilsvrc']} --resume --base-lr 0.3")
    assert status == 2 and "base_lr was 0.1, now 0.3" in line
    status, (line,) = drive("ilsvrc", f"{TRAIN['ilsvrc']} --resume")
    assert status == 2 and "nothing to do" in line


def test_a_snapshot_that_is_cut_short_is_passed_over(world, drive):
    how = TRAIN["ilsvrc"].replace("--to-epoch 2", "--to-epoch 3")
    assert drive("ilsvrc", f"{how} --output whole") == (0, [])
    assert drive("ilsvrc", f"{how} --output parts --stop-epoch 2") == (0, [])
    newest = world / "parts" / f"{CLS}_snapshot" / "0002-000000" / "parameters.params"
    newest.write_bytes(newest.read_bytes()[:-200])
    assert drive("ilsvrc", f"{how} --output parts --resume") == (0, [])
    assert "going on from the snapshot after epoch 1, batch 0" in (world / "parts" / f"{CLS}.log").read_text()
    one, other = (read_params(f"{run}/{CLS}_ep-0003.params") for run in ("whole", "parts"))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_snapshots_that_do_not_fit_are_refused(world, drive):
    how = TRAIN["ilsvrc"].replace("--to-epoch 2", "--to-epoch 3 --resume")
    folder = world / "output" / f"{CLS}_snapshot" / "0002-000000"
    state = json.loads((folder / "state.json").read_text())
    state["arguments"]["to_epoch"] = 3
    other = {**state, "images": 7}
    (folder / "state.json").write_text(json.dumps(other))
    status, (line,) = drive("ilsvrc", how)
    assert status == 1 and "a run with 7 images, the list has 8" in line
    (folder / "state.json").write_text(json.dumps(state))
    shutil.copy(world / "output" / f"{SEG}_snapshot" / "0002-000000" / "parameters.params", folder)
    status, (line,) = drive("ilsvrc", how)
    assert status == 1 and "the snapshot does not fit the network" in line


def test_two_runs_into_one_folder_at_once_are_refused(world, drive):
    with only_run(str(world / "output" / f"{CLS}_snapshot")):
        before = (world / "output" / f"{CLS}.jsonl").read_bytes()
        status, (line,) = drive("ilsvrc", TRAIN["ilsvrc"])
        assert status == 1 and "another process is training into" in line and "--output" in line
        assert (world / "output" / f"{CLS}.jsonl").read_bytes() == before


# Errors: exit status 2 for wrong use, 1 for failure; one line; nothing is written


def broken_image(folder):
    for name in ("data/tiny/train/dog/1.png", "data/tiny/val/dog/1.png", "data/demo/images/train3.png",
                 "data/demo/images/val1.png"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:len(data) // 2])


def missing_image(folder):
    for name in ("data/demo/images/train3.png", "data/demo/images/val1.png"):
        (folder / name).unlink()
    lines = "".join(f"{i}\t{i % 2}\ttrain/cat/{i}.png\n" for i in range(8))  # there are four
    (folder / "data" / "tiny" / "train.lst").write_text(lines)
    (folder / "data" / "tiny" / "val.lst").write_text(lines)


def wrong_label(folder):
    for name in ("train3", "val1"):
        path = folder / "data" / "demo" / "labels" / f"{name}.png"
        label = np.asarray(Image.open(path)).copy()
        label[0, 0] = 9
        write_png(str(path), label)


def wrong_class(folder):
    (folder / "data" / "tiny" / "train.lst").write_text("0\t0\ttrain/cat/0.png\n1\t2\ttrain/cat/1.png\n")


def no_label(folder):
    (folder / "data" / "demo" / "train.lst").write_text("images/train0.png\tlabels/train0.png\nimages/train1.png\n" * 4)
    (folder / "data" / "demo" / "val.lst").write_text("images/val0.png\n")


def same_names(folder):
    shutil.copytree(folder / "data" / "demo" / "images", folder / "data" / "demo" / "more")
    lines = [f"{where}/val0.png\tlabels/val0.png\n" for where in ("images", "more")]
    (folder / "data" / "demo" / "val.lst").write_text("".join(lines))


def no_weights(folder):
    (folder / "cut.params").write_bytes((folder / "output" / f"{SEG}_ep-0002.params").read_bytes()[:1000])
    (folder / f"{SEG}_ep-0007.params").write_text("no parameters")


FAILURES = [  # what is wrong, driver, arguments, words of the line
    (broken_image, "ilsvrc", TRAIN["ilsvrc"], ["dog/1.png", "cannot be decoded"]),
    (broken_image, "ilsvrc", f"{TRAIN['ilsvrc']} --prefetcher process", ["dog/1.png", "cannot be decoded"]),
    (broken_image, "ilsvrc", VAL["ilsvrc"], ["dog/1.png", "cannot be decoded"]),
    (broken_image, "voc", TRAIN["voc"], ["train3.png", "cannot be decoded"]),
    (broken_image, "voc", VAL["voc"], ["val1.png", "cannot be decoded"]),
    (missing_image, "ilsvrc", TRAIN["ilsvrc"], ["cat/", "No such file"]),
    (missing_image, "voc", f"{TRAIN['voc']} --prefetcher process", ["train3.png", "No such file"]),
    (missing_image, "voc", VAL["voc"], ["val1.png", "No such file"]),
    (wrong_label, "voc", TRAIN["voc"], ["train3.png has label 9", "no class of demo", "0 … 5"]),
    (wrong_label, "voc", VAL["voc"], ["val1.png has label 9"]),
    (wrong_class, "ilsvrc", TRAIN["ilsvrc"], ["train.lst:2", "class '2' is not among 0 … 1"]),
    (no_label, "voc", TRAIN["voc"], ["without labels"]),
    (no_label, "voc", VAL["voc"], ["without labels"]),
    (same_names, "voc", VAL["voc"], ["2 images of the list are called val0", "--no-save-results"]),
    (None, "ilsvrc", "--model tiny_rna-a-w0.02_cls2 --crop-size 8 --pool-top-infer-style caffe --to-epoch 1 "
     "--batch-images 4 --cpus 1", ["inputs of this size (data 4x3x8x8)"]),
    (no_weights, "voc", f"--phase val --weights {SEG}_ep-0007.params --split val --test-scales 48",
     [f"{SEG}_ep-0007.params is no whole .params file"]),
    (None, "voc", VAL["voc"] + f" --model {SEG.replace('w0.02', 'w0.04')}",
     ["does not fit the network", "has shape", "wanted", "Check its label"]),
    (None, "voc", TRAIN["voc"].replace("rna-b1-w0.02_cls6", "rna-a1-w0.02_cls6"), ["does not fit", "is missing"]),
    (None, "ilsvrc", TRAIN["ilsvrc"].replace("--batch-images 4", "--batch-images 9"), ["8 images", "batch of 9"]),
]


@pytest.mark.parametrize("spoil, program, arguments, words", FAILURES,
                         ids=[f"{program} {(spoil.__name__ if spoil else words[0])} {number}"
                              for number, (spoil, program, _, words) in enumerate(FAILURES)])
def test_a_failure_ends_with_one_line_and_status_1(world, drive, spoil, program, arguments, words):
    if spoil:
        spoil(world)
    if "--model" in arguments:
        arguments += " --output new"
    status, lines = drive(program, arguments)
    assert status == 1 and len(lines) == 1, lines
    assert lines[0].startswith(f"{program}.py: error: ")
    for word in words:
        assert word in lines[0]
    whole(world)


WRONG_USES = [
    ("ilsvrc", f"{TRAIN['ilsvrc']} --list missing.lst", ["missing.lst"]),
    ("ilsvrc", TRAIN["ilsvrc"].replace("tiny_", "none_"), ["data/none/train.lst", "data/none/train", "--list"]),
    ("voc", f"{TRAIN['voc']} --split trainval", ["data/demo/trainval.lst", "--list"]),
    ("voc", "--phase val --weights missing.params --test-scales 48", ["there is no file missing.params"]),
    ("ilsvrc", "--model tiny_rna-b1_class2 --to-epoch 1", ["'tiny_rna-b1_class2' is no label", "_cls<N>"]),
    ("ilsvrc", "--model tiny_rna-z_cls2 --to-epoch 1", ["rna-z", "known are rna-a"]),
    ("ilsvrc", "--model imagenette128_rna-b1_cls11 --to-epoch 1", ["has 10 classes, the label says 11"]),
    ("voc", "--model demo_rna-b1_cls8_s8 --to-epoch 1", ["has 6 classes, the label says 8"]),
    ("voc", "--model demo_rna-b1_cls6_s12 --to-epoch 1", ["stride 12", "it has 8, 16, 32"]),
    ("voc", "--model mine_rna-b1_cls6_s8 --to-epoch 1", ["'mine' is not known", "camvid, city", "--dataset-file"]),
    ("ilsvrc", "--to-epoch 1", ["--model", "--weights"]),
    ("ilsvrc", f"--model {CLS}", ["--to-epoch"]),
    ("ilsvrc", "--phase val", ["--weights"]),
    ("voc", f"--phase val --weights output/{CLS}_ep-0002.params --model {SEG} --split val --test-scales 48",
     [f"{CLS}_ep-0002.params does not fit: it is of a network for classification, wanted one for segmentation"]),
    ("voc", f"{VAL['voc']} --test-steps 3", ["--test-steps 3", "stride 8"]),
    ("ilsvrc", f"{TRAIN['ilsvrc']} --gpus 0", ["--cpus"]),
    ("ilsvrc", TRAIN["ilsvrc"].replace("--cpus 1", "--gpus 0"), ["--gpus", "GPU 0", "--cpus"]),
    ("ilsvrc", TRAIN["ilsvrc"].replace("--cpus 1", "--cpus 3"), ["--batch-images 4", "3 devices"]),
    ("ilsvrc", f"{TRAIN['ilsvrc']} --lr-type step", ["--lr-steps"]),
    ("ilsvrc", f"{TRAIN['ilsvrc']} --lr-steps 1", ["--lr-type step"]),
    ("ilsvrc", f"{TRAIN['ilsvrc']} --stop-epoch 3", ["--stop-epoch 3", "--to-epoch 2"]),
    ("ilsvrc", f"{TRAIN['ilsvrc']} --from-epoch 2", ["--from-epoch 2", "from < stop"]),
    ("voc", f"{TRAIN['voc']} --scale-rate-range 1.3,0.7", ["--scale-rate-range 1.3,0.7"]),
    ("voc", f"{TRAIN['voc']} --class-weights 1,2", ["--class-weights has 2 numbers, and the network 6 classes"]),
    ("voc", f"{TRAIN['voc']} --scale-rate-range 1", ["--scale-rate-range", "wanted 2"]),
    ("voc", f"{TRAIN['voc']} --batch-images 0", ["--batch-images", "at least 1"]),
    ("voc", f"{TRAIN['voc']} --base-lr fast", ["--base-lr", "'fast'"]),
    ("voc", f"{TRAIN['voc']} --unknown-flag", ["--unknown-flag"]),
    ("voc", f"{TRAIN['voc']} --prefetcher coroutine", ["--prefetcher", "thread"]),
]


@pytest.mark.parametrize("program, arguments, words", WRONG_USES,
                         ids=[f"{use[0]} {use[2][0]} {number}" for number, use in enumerate(WRONG_USES)])
def test_wrong_use_ends_with_one_line_and_status_2(world, drive, program, arguments, words):
    if "--phase" not in arguments:
        arguments += " --output new"
    status, lines = drive(program, arguments)
    assert status == 2 and len(lines) == 1, lines
    for word in words:
        assert word in lines[0]
    whole(world)


def whole(folder):
    """No file is half-written, and nothing claims a result."""
    for name in files(folder):
        assert ".part-" not in name
        assert not name.endswith("result.json")
        if name.startswith("new/"):
            assert name.endswith((".log", ".jsonl")) or "_ep-" not in name, name


@pytest.mark.parametrize("program", MODULES)
@pytest.mark.parametrize("numpy, words", [(None, ["neither MXNet nor PyTorch is installed", "pip install"]),
                                          ("2.1.0", ["numpy 2.1.0", "pip install 'numpy<2'"])])
def test_what_is_missing_is_said_in_one_line(tmp_path, program, numpy, words):
    """The script itself, in a Python without any engine, or with a NumPy that MXNet cannot use."""
    site = site_without(tmp_path / "site", "mxnet", "torch", *(["numpy"] if numpy else []))
    if numpy:
        (site / "mxnet.py").write_text("")
        (site / "numpy.py").write_text(f"__version__ = {numpy!r}\n")
    script = ROOT / MODULES[program].split(".")[0] / f"{program}.py"
    arguments = re.sub(r"--weights \S+", "", TRAIN[program])
    done = subprocess.run([sys.executable, "-S", str(script), *shlex.split(arguments)], cwd=tmp_path,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(site)}, timeout=100)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"{program}.py: error: ") and not done.stdout
    for word in words:
        assert word in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_mxnet_says_is_one_line_too(monkeypatch, drive):
    pytest.importorskip("mxnet")

    def exhausted():
        from ademxapp.backend import mx
        mx.nd.array([1, 2]).reshape((3,)).wait_to_read()

    monkeypatch.setattr(ilsvrc, "main", exhausted)
    status, lines = drive("ilsvrc", "")
    assert status == 1 and len(lines) == 1 and re.match(r"ilsvrc.py: error: .*(shape|Check failed)", lines[0]), lines


def test_debug_shows_where_an_error_is(world):
    done = run_script(world, "ilsvrc", f"--model {CLS} --to-epoch 1 --list missing.lst --debug")
    assert done.returncode == 2 and "Traceback" in done.stderr and "missing.lst" in done.stderr


def test_snapshots_are_whole(trained):
    for label in (CLS, SEG):
        snapshot = load_snapshot(str(trained / "output" / f"{label}_snapshot"))
        weights = load_parameters(str(trained / "output" / f"{label}_ep-0002.params"))
        assert set(snapshot.parameters.all) == set(weights.all) and snapshot.optimizer_states
