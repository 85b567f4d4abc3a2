"""Archives for the evaluation servers."""
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from ademxapp.cli import UsageError
from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample, write_segmentation_list
from issegm.datasets import DATASETS
from tools import submit

IMAGES = {"voc": "VOC2012/JPEGImages/2008_00000{}.png",
          "cityscapes": "leftImg8bit/test/berlin/berlin_00000{}_000019_leftImg8bit.png",
          "ade20k": "release_test/testing/ADE_test_0000000{}.png"}
SIZE = (30, 40)


def finished_test(root, dataset, count=3):
    """The folder of a test of `count` images that has ended, as the drivers leave it."""
    record = DATASETS[dataset]
    folder, rng = root / f"{dataset}_rna-a1_cls{record.classes}_s8_ep-0001_test", np.random.default_rng(0)
    samples = [Sample(str(root), IMAGES[dataset].format(number)) for number in range(count)]
    for sample in samples:
        write_png(sample.image_path, np.zeros((*SIZE, 3), np.uint8))
        labels = rng.choice(record.label_ids, SIZE).astype(np.uint8)
        write_png(str(folder / sample.image.rpartition("/")[2]), labels, record.palette)
    write_segmentation_list(str(root / "test.lst"), samples)
    (folder / "result.json").write_text(json.dumps({
        "label": f"{dataset}_rna-a1_cls{record.classes}_s8", "split": "test", "arguments": {
            "dataset": dataset, "data_root": str(root), "list": str(root / "test.lst"), "split": "test"}}))
    return folder


def test_an_entry_for_voc_has_the_servers_folders_and_the_palette(tmp_path, capsys):
    folder = finished_test(tmp_path, "voc")
    submit.main([str(folder), "--partial"])
    with tarfile.open(f"{folder}.tgz", "r:gz") as archive:
        assert archive.getnames() == [f"results/VOC2012/Segmentation/comp6_test_cls/2008_00000{i}.png"
                                      for i in range(3)]
        for number, name in enumerate(archive.getnames()):
            found, written = Image.open(archive.extractfile(name)), Image.open(folder / f"2008_00000{number}.png")
            assert found.mode == "P" and found.getpalette()[:768] == voc_palette().ravel().tolist()
            assert found.size == SIZE[::-1] and np.array_equal(found, written) and np.max(found) <= 20
    assert "3 images of test" in capsys.readouterr().out
    submit.main([str(folder), "--partial", "--competition", "comp5", "--out", str(tmp_path / "mine.tgz")])
    assert "comp5_test_cls" in tarfile.open(tmp_path / "mine.tgz").getnames()[0]


@pytest.mark.parametrize("dataset, name, values", [
    ("cityscapes", "berlin_00000{}_000019_pred_labelIds.png", set(DATASETS["cityscapes"].label_ids)),
    ("ade20k", "ADE_test_0000000{}.png", set(range(1, 151)))])
def test_entries_for_cityscapes_and_ade20k_are_grey_images_of_label_ids(tmp_path, dataset, name, values):
    folder = finished_test(tmp_path, dataset)
    submit.main([str(folder), "--partial"])
    with zipfile.ZipFile(f"{folder}.zip") as archive:
        assert archive.namelist() == [name.format(i) for i in range(3)] and archive.testzip() is None
        for info in archive.infolist():
            found = Image.open(archive.open(info))
            assert found.mode == "L" and set(np.unique(found)) <= values and len(np.unique(found)) > 10
            assert info.external_attr >> 16 == 0o644


def test_the_official_script_finds_the_predictions_by_their_names(tmp_path, monkeypatch):
    """What cityscapesScripts looks for below a folder of results: exactly one file for each label image."""
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path))
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(tmp_path / "unpacked"))
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
                                   reason="cityscapesScripts is not installed")
    folder = finished_test(tmp_path, "cityscapes")
    submit.main([str(folder), "--partial"])
    zipfile.ZipFile(f"{folder}.zip").extractall(tmp_path / "unpacked")
    official.args.predictionPath = official.args.predictionWalk = None
    for number in range(3):
        label = f"gtFine/test/berlin/berlin_00000{number}_000019_gtFine_labelIds.png"
        assert official.getPrediction(official.args, str(tmp_path / label)) == str(
            tmp_path / "unpacked" / f"berlin_00000{number}_000019_pred_labelIds.png")


def spoil(folder, how):
    path = next(folder.glob("*1*.png"))
    if how == "missing":
        path.unlink()
    elif how == "size":
        write_png(str(path), np.zeros((30, 41), np.uint8))
    elif how == "value":
        write_png(str(path), np.full(SIZE, 255, np.uint8))
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:60])
    elif how == "colour":
        write_png(str(path), np.zeros((*SIZE, 3), np.uint8))


@pytest.mark.parametrize("how, words", [
    ("missing", r"there is no .*2008_000001\.png: 1 of 3 label images are missing"),
    ("size", r"2008_000001\.png has 41x30 pixels, its image 40x30"),
    ("value", r"2008_000001\.png has value 255, which is no class of voc"),
    ("cut", r"2008_000001\.png cannot be decoded"),
    ("colour", r"2008_000001\.png is no label map"),
])
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path, how, words):
    folder = finished_test(tmp_path, "voc")
    spoil(folder, how)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=words):
        submit.main([str(folder), "--partial"])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_of_a_split_is_no_entry(tmp_path):
    folder = finished_test(tmp_path, "voc")
    with pytest.raises(ValueError, match="the test's list has 3 images, voc test has 1,456: --partial"):
        submit.main([str(folder)])
    assert not list(tmp_path.glob("*.tgz"))


def test_shards_of_a_test_are_one_entry(tmp_path):
    folder = finished_test(tmp_path, "voc")
    shards, paths = [tmp_path / f"shard-{number}" for number in range(2)], sorted(folder.glob("*.png"))
    for number, shard in enumerate(shards):
        shard.mkdir()
        result = json.loads((folder / "result.json").read_text())
        result["arguments"]["shard"] = [number + 1, 2]
        (shard / "result.json").write_text(json.dumps(result))
        for path in paths[number::2]:
            path.rename(shard / path.name)
    with pytest.raises(ValueError, match="1 of 3 label images are missing"):
        submit.main([str(shards[0]), "--partial"])
    submit.main([*map(str, shards), "--partial", "--out", str(tmp_path / "all.tgz")])
    assert len(tarfile.open(tmp_path / "all.tgz").getnames()) == 3
    result["arguments"]["test_scales"] = [500]
    (shards[1] / "result.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match="are no shards of one test: they differ in test_scales"):
        submit.main([*map(str, shards), "--partial"])


def test_images_must_be_named_as_those_of_cityscapes(tmp_path, monkeypatch):
    monkeypatch.setitem(IMAGES, "cityscapes", "test/photo{}.png")
    with pytest.raises(ValueError, match="test/photo0.png is not named <city>_<sequence>_<frame>_"):
        submit.main([str(finished_test(tmp_path, "cityscapes")), "--partial"])


def test_two_images_of_one_name_are_no_entry(tmp_path, monkeypatch):
    monkeypatch.setitem(IMAGES, "ade20k", "{}/same.png")
    with pytest.raises(ValueError, match="two images of the list would both be same.png"):
        submit.main([str(finished_test(tmp_path, "ade20k")), "--partial"])


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="there is no .*result.json: wanted the folder of a test that has ended"):
        submit.main([str(tmp_path)])
    folder = finished_test(tmp_path, "voc")
    with pytest.raises(UsageError, match="the server wants a .tgz file"):
        submit.main([str(folder), "--out", "entry.zip"])
    result = json.loads((folder / "result.json").read_text())
    result["label"], result["arguments"]["dataset"] = "camvid_rna-a1_cls11_s8", "camvid"
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(UsageError, match="there is no entry of camvid: known are those of voc, cityscapes, ade20k"):
        submit.main([str(folder)])
