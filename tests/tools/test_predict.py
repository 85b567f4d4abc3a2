"""`tools/predict.py`: photographs of any kind, segmented or classified as the drivers do it."""
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from random_weights import make_weights

from ademxapp.cli import UsageError
from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.data.photographs import Video, VideoWriter
from ademxapp.symbol import SymbolOptions, parse_label, segmentation_symbol
from ademxapp.weights.parameters import parameter_shapes, save_parameters, start_afresh
from ademxapp.weights.released import STREETS
from iclass import ilsvrc
from iclass.classifier import read_predictions
from issegm import voc
from tools import predict

SEG, CLS = "demo_rna-b1-w0.02_cls6_s8", "demo-cls_rna-b1-w0.02_cls5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a segmentation network and of a classifier, random."""
    folder = tmp_path_factory.mktemp("weights")
    symbol = segmentation_symbol(parse_label(SEG), SymbolOptions(bn_use_global_stats=True), "2conv", "softmax")
    save_parameters(str(folder / f"{SEG}_ep-0001.params"),
                    start_afresh(parameter_shapes(symbol, data=(1, 3, 32, 32)), 0))
    return {"seg": str(folder / f"{SEG}_ep-0001.params"),
            "cls": make_weights(folder / f"{CLS}_ep-0001.params", CLS)}


@pytest.fixture
def photographs(tmp_path):
    """A folder of photographs: of common and odd shapes, grey, CMYK, with colours in a palette, with transparency."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((80, 60))
    image.save(folder / "plain.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("P").save(folder / "palette.png")
    image.convert("RGBA").save(folder / "alpha.png")
    image.resize((1, 40)).save(folder / "narrow.png")
    image.resize((3000, 20)).save(folder / "wide.jpg")
    (folder / "notes.txt").write_text("no image")
    return folder


def segmented(folder):
    return {path.name: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


def test_segmentation_of_a_folder_is_the_drivers(weights, photographs, tmp_path, capsys):
    out = tmp_path / "out"
    predict.main([str(photographs), "--weights", weights["seg"], "--test-scales", "64", "--test-flipping", "--out",
                  str(out), "--cpus", "1"])
    names = sorted(path.name for path in photographs.iterdir() if path.suffix != ".txt")
    write_segmentation_list(str(tmp_path / "odd.lst"), [Sample(str(photographs), name) for name in names])
    voc.main(["--phase", "test", "--weights", weights["seg"], "--list", str(tmp_path / "odd.lst"), "--data-root",
              str(photographs), "--test-scales", "64", "--test-flipping", "--output", str(tmp_path), "--cpus", "1",
              "--split", "test"])
    found, wanted = segmented(out), segmented(tmp_path / f"{SEG}_ep-0001_test")
    assert found.keys() == wanted.keys() == {f"{Path(name).stem}.png" for name in names}
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert found["wide.png"].shape == (20, 3000) and found["narrow.png"].shape == (40, 1)
    labels = Image.open(out / "plain.png")
    assert labels.mode == "P" and labels.getpalette()[:768] == voc_palette().ravel().tolist()
    overlay = Image.open(out / "plain_overlay.jpg")
    assert overlay.width > 80 and overlay.height > 60
    lines = [line for line in capsys.readouterr().out.splitlines() if "plain.jpg" in line]
    assert len(lines) == 1 and "%" in lines[0]


def test_without_weights_the_network_for_streets_is_used_and_named(photographs, tmp_path, monkeypatch):
    predict.main([str(photographs / "plain.jpg"), "--out", str(tmp_path / "out"), "--cpus", "1"])
    told = (tmp_path / "out" / "predict.log").read_text()
    assert f"{STREETS}, trained on CamVid, takes everything for one of its classes: sky, building, pole" in told
    assert np.asarray(Image.open(tmp_path / "out" / "plain.png")).shape == (60, 80)
    monkeypatch.setattr(predict, "shipped", lambda name: None)
    with pytest.raises(UsageError, match="there is no network, .*models has no camvid_.*: wanted --weights FILE or"):
        predict.main([str(photographs / "plain.jpg"), "--out", str(tmp_path / "other")])


def test_classification_is_the_drivers(weights, photographs, tmp_path, capsys):
    out = tmp_path / "out"
    predict.main([str(photographs / "*.jpg"), "--weights", weights["cls"], "--test-scales", "32,48", "--out", str(out),
                  "--top", "2", "--cpus", "1"])
    names = ["cmyk.jpg", "plain.jpg", "wide.jpg"]
    write_classification_list(str(tmp_path / "odd.lst"), [Sample(str(photographs), name) for name in names])
    ilsvrc.main(["--phase", "test", "--weights", weights["cls"], "--list", str(tmp_path / "odd.lst"), "--data-root",
                 str(photographs), "--test-scales", "32,48", "--output", str(tmp_path), "--cpus", "1"])
    found = read_predictions(str(out / "predictions.tsv"))
    wanted = read_predictions(str(tmp_path / f"{CLS}_ep-0001_train" / "predictions.tsv"))
    assert [row[0] for row in found] == [str(photographs / name) for name in names]
    for mine, theirs in zip(found, wanted):
        assert [index for index, _ in mine[3]] == [index for index, _ in theirs[3]]
        assert [value for _, value in mine[3]] == pytest.approx([value for _, value in theirs[3]], abs=2e-6)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(photographs / "cmyk.jpg") and len(printed) == 9
    best = ("ball", "crate", "house", "star", "tree")[found[0][3][0][0]]
    assert printed[1].split() == [f"{100 * found[0][3][0][1]:.1f}", "%", best]


def test_what_cannot_be_used_is_named_and_the_rest_is_done(weights, photographs, tmp_path, capsys):
    whole = (photographs / "plain.jpg").read_bytes()
    (photographs / "broken.jpg").write_bytes(whole[:len(whole) // 2])
    (photographs / "empty.png").write_bytes(b"")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="2 of 3 images could not be used"):
        predict.main([*(str(photographs / name) for name in ("broken.jpg", "empty.png", "plain.jpg")), "--weights",
                      weights["seg"], "--test-scales", "40", "--out", str(out), "--cpus", "1"])
    assert sorted(path.name for path in out.iterdir()) == ["plain.png", "plain_overlay.jpg", "predict.json",
                                                           "predict.log"]
    told = (out / "predict.log").read_text()
    assert "left out: " in told and "broken.jpg cannot be decoded" in told and "the file is empty" in told


def test_images_that_would_grow_too_large_are_refused_in_words(weights, tmp_path):
    Image.new("L", (30000, 2)).save(tmp_path / "thread.png")
    with pytest.raises(ValueError, match="1 of 1 images could not be used"):
        predict.main([str(tmp_path / "thread.png"), "--weights", weights["cls"], "--out", str(tmp_path / "out"),
                      "--cpus", "1"])
    assert "30000x2 pixels, and would have 4800000x320 with its shorter side at 320: cut it first" in (
        tmp_path / "out" / "predict.log").read_text()
    Image.new("L", (66000, 2)).save(tmp_path / "rope.png")
    with pytest.raises(ValueError, match="1 of 1 images could not be used"):
        predict.main([str(tmp_path / "rope.png"), "--weights", weights["seg"], "--out", str(tmp_path / "out"),
                      "--cpus", "1"])
    assert "66000x2 pixels, wanted sides of at most 65000" in (tmp_path / "out" / "predict.log").read_text()


@pytest.mark.parametrize("arguments, words", [
    (["{root}/none.jpg"], "there is no image .*none.jpg"),
    (["{root}/empty"], "there is no image .*empty"),
    (["{root}/a.png", "--out", "{root}"], "would replace the image .*a.png: --out DIR"),
    (["{root}/a.png", "--dataset", "atlantis"], "dataset 'atlantis' is not known"),
    (["{root}/a.png", "--test-scales", "0"], "--test-scales"),
])
def test_wrong_use_leaves_nothing(weights, tmp_path, arguments, words):
    root = tmp_path / "root"
    (root / "empty").mkdir(parents=True)
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (20, 10)).save(root / name)
    arguments = [argument.format(root=root) for argument in arguments]
    with pytest.raises(UsageError, match=words):
        predict.main([*arguments, "--weights", weights["seg"], "--cpus", "1",
                      *([] if "--out" in arguments else ["--out", str(tmp_path / "out")])])
    assert Image.open(root / "a.png").size == (20, 10) and not list(tmp_path.glob("out/*.png"))


def test_an_onnx_file_among_the_weights_is_told_where_it_belongs(tmp_path):
    (tmp_path / "x.onnx").touch()
    with pytest.raises(UsageError, match="--weights .*x.onnx: an ONNX file is --model's"):
        predict.main([str(tmp_path), "--weights", str(tmp_path / "x.onnx")])


def test_the_same_image_named_twice_is_predicted_once(weights, tmp_path, capsys):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    predict.main([str(tmp_path / "a.png"), str(tmp_path), "--weights", weights["seg"], "--test-scales", "24", "--out",
                  str(tmp_path / "out"), "--cpus", "1"])
    assert capsys.readouterr().out.count("a.png:") == 1


def test_one_bad_image_stops_no_other(weights, tmp_path, capsys):
    """Of two with one name the second is left out; so is what cannot be read, or cannot be written."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.png", "a.jpg", "unwritable.png", "z.png"):
        Image.new("RGB", (20, 10)).save(folder / name)
    (folder / "empty.bmp").write_bytes(b"")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes((folder / "a.png").read_bytes())
    (out / "unwritable.png").mkdir(parents=True)
    with pytest.raises(ValueError, match="4 of 6 images could not be used, as told above: .*a.png"):
        predict.main([str(folder), "--weights", weights["seg"], "--test-scales", "24", "--out", str(out), "--cpus",
                      "1"])
    assert {path.name for path in out.iterdir()} == {"a.png", "a_overlay.jpg", "z.png", "z_overlay.jpg", "predict.json",
                                                     "unwritable.png", "predict.log"}
    told = (out / "predict.log").read_text()
    assert "a.jpg and" in told and "would be one file" in told and "empty.bmp cannot be decoded: the file is" in told
    assert "unwritable.png: Is a directory" in told and "the name is not UTF-8" in told
    assert "z.png: " in capsys.readouterr().out
    with pytest.raises(ValueError, match="2 of 6 images could not be used"):
        predict.main([str(folder), "--weights", weights["cls"], "--test-scales", "32", "--out", str(out), "--cpus",
                      "1"])
    assert len(read_predictions(str(out / "predictions.tsv"))) == 4


def test_folders_say_what_they_leave_out_and_pillows_formats_are_read(weights, photographs, tmp_path):
    image = Image.open(photographs / "plain.jpg")
    for name in ("a.gif", "b.jfif", "c.ppm"):
        image.save(photographs / name, format={"b.jfif": "JPEG"}.get(name))
    (photographs / "clip.mp4").write_bytes(b"")
    (photographs / "more").mkdir()
    (photographs / "@eaDir").mkdir()
    out = tmp_path / "out"
    predict.main([str(photographs), "--weights", weights["seg"], "--test-scales", "32", "--out", str(out), "--cpus",
                  "1"])
    assert all((out / f"{name}.png").is_file() for name in "abc")
    told = (out / "predict.log").read_text()
    assert "no images by their names, left out: notes.txt" in told and "not looked into: more\n" in told
    assert "videos, left out unless they are named: clip.mp4" in told and "@eaDir" not in told


def test_videos_and_photographs_go_together(weights, tmp_path, capsys):
    """The labels of a video's frames are those of the frames as photographs."""
    with VideoWriter(str(tmp_path / "clip"), 10) as writer:
        for seed in range(3):
            noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            writer.write(np.asarray(Image.fromarray(noise).resize((80, 60))))
    for number, (_, pixels) in enumerate(Video(str(tmp_path / "clip.mp4"))):
        Image.fromarray(pixels).save(tmp_path / f"frame{number}.png")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    names = [str(tmp_path / name) for name in ("clip.mp4", "broken.mp4", "frame0.png", "frame1.png", "frame2.png")]
    out = tmp_path / "out"
    for kind in ("seg", "cls"):
        with pytest.raises(ValueError, match="1 of 5 images could not be used, as told above: .*broken.mp4"):
            predict.main([*names, "--weights", weights[kind], "--test-scales", "64", "--out", str(out / kind), "--cpus",
                          "1"])
        assert "clip.mp4: 3 frames, on average" in capsys.readouterr().out
    assert len(list(Video(str(out / "seg" / "clip_overlay.mp4")))) == 3
    rows = [line.split("\t") for line in (out / "seg" / "clip_frames.tsv").read_text().splitlines()]
    for number, row in enumerate(rows[1:]):
        labels = np.asarray(Image.open(out / "seg" / f"frame{number}.png"))
        assert row[2:] == [f"{100 * (labels == index).mean():.2f}" for index in range(6)]
    rows = [line.split("\t") for line in (out / "cls" / "clip_frames.tsv").read_text().splitlines()]
    for (_, _, _, best), row in zip(read_predictions(str(out / "cls" / "predictions.tsv")), rows[1:]):
        assert float(row[3]) == pytest.approx(100 * best[0][1], abs=0.01)


def test_a_video_that_was_cut_short_is_told(weights, tmp_path, capsys):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (80, 60))
    for seed in range(20):
        writer.write(np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    predict.main([str(path), "--weights", weights["cls"], "--test-scales", "32", "--out", str(tmp_path / "out"),
                  "--cpus", "1"])
    assert re.search(r"clip.avi: \d+ frames of 20 that it announces \(is it whole\?\), on", capsys.readouterr().out)


@pytest.mark.parametrize("orientation", [3, 6])
def test_photographs_are_turned_upright_and_so_are_results(weights, tmp_path, orientation):
    stored = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((80, 60))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "phone.png", exif=exif)
    stored.transpose({3: Image.ROTATE_180, 6: Image.ROTATE_270}[orientation]).save(tmp_path / "upright.png")
    for kind in ("seg", "cls"):
        predict.main([str(tmp_path / "phone.png"), str(tmp_path / "upright.png"), "--weights", weights[kind],
                      "--test-scales", "64", "--out", str(tmp_path / "out"), "--cpus", "1"])
    found, wanted = (np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in ("phone", "upright"))
    np.testing.assert_array_equal(found, wanted)
    assert wanted.shape == ((60, 80) if orientation == 3 else (80, 60))
    rows = read_predictions(str(tmp_path / "out" / "predictions.tsv"))
    assert rows[0][3] == rows[1][3]


def test_weights_without_a_classifier_are_an_error(weights, tmp_path):
    from ademxapp.weights.parameters import Parameters, load_parameters
    whole = load_parameters(weights["cls"])
    path = str(tmp_path / f"{CLS}_ep-0001.params")
    save_parameters(path, Parameters({name: value for name, value in whole.args.items() if "linear" not in name},
                                     whole.auxs))
    with pytest.raises(ValueError, match="has no classifier, linear<classes>_weight"):
        predict.main([str(tmp_path), "--weights", path])
