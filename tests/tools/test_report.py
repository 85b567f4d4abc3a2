"""Pictures, and `tools/report.py data`: what training sees."""
import json
from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.data.loader import Loader
from ademxapp.evaluation.pictures import GROUND, captioned_grid, class_colours, labels_over
from ademxapp.symbol import network
from issegm.datasets import DATASETS, SegmentationDataset, TrainCrops
from tools import pack, report
from tools.reporting import data

STRIDE, CLASSES = 8, 20
SETTINGS = network("rna-a1").input


@pytest.fixture
def tree(tmp_path):
    """Four pairs of 64x48 pixels whose grey is ten times their class, in stripes of 5 pixels, and their list."""
    samples = []
    for shift in range(4):
        classes = np.add.outer(np.arange(48) // 5, np.arange(64) // 5 + shift).astype(np.uint8) % CLASSES
        Image.fromarray(np.repeat(classes[..., None] * 10, 3, 2)).save(tmp_path / f"{shift}.png")
        Image.fromarray(classes).save(tmp_path / f"{shift}_label.png")
        samples.append(Sample(str(tmp_path), f"{shift}.png", label_image=f"{shift}_label.png"))
    write_segmentation_list(tmp_path / "voc" / "train.lst", samples)
    return tmp_path, samples


@pytest.mark.parametrize("crop, reached", [(32, "top bottom left right"), (80, "top left right")])  # 80 holds all
def test_cells_have_the_class_of_the_pixels_under_their_centres(tree, crop, reached):
    _, samples = tree
    record = SegmentationDataset("stripes", tuple(map(str, range(CLASSES))), largest_side=64)
    dataset = TrainCrops(samples * 20, record, SETTINGS, STRIDE, crop, 64, (1, 1))
    borders = set()
    for _, pixels, cells in data.seen(dataset, Namespace(seed=0, epoch=1, images=80), SETTINGS):
        cells = cells.reshape(crop // STRIDE, -1)
        drawn = labels_over(np.zeros_like(pixels), cells, np.repeat(np.arange(256)[:, None], 3, 1).astype(np.uint8))
        counted = cells != 255
        centres = np.arange(STRIDE // 2, crop, STRIDE)
        under = pixels[centres[:, None], centres][..., 0]
        # flipped crops: the centre of an even cell lies between two pixels, of which flipping takes the other
        mirrored = pixels[centres[:, None], centres - 1][..., 0]
        assert ((under == cells * 10) | (mirrored == cells * 10))[counted].all()
        assert ((drawn[centres[:, None], centres][..., 0] == (cells + 1) // 2) | ~counted).all()
        borders.update(name for name, line in (("top", counted[0]), ("bottom", counted[-1]), ("left", counted[:, 0]),
                                               ("right", counted[:, -1])) if line.any())
    assert borders == set(reached.split())


def test_the_first_samples_of_an_epoch_are_those_of_training(tree):
    _, samples = tree
    record = SegmentationDataset("stripes", tuple(map(str, range(CLASSES))), largest_side=64)
    dataset = TrainCrops(samples * 3, record, SETTINGS, STRIDE, 32, 64)
    shown = list(data.seen(dataset, Namespace(seed=5, epoch=3, images=8), SETTINGS))
    with Loader(dataset, 4, shuffle=True, drop_last=True, seed=5) as loader:
        loader.start(2)
        for place in (0, 4):
            batch = next(loader)
            for i in range(4):
                index, pixels, cells = shown[place + i]
                assert index == batch.index[i]
                assert np.array_equal(cells, batch.label[i])
                assert np.array_equal(pixels, data.pixels_of(batch.data[i], SETTINGS))


def test_segmentation_sheets(tree, capsys):
    folder, _ = tree
    report.main(["data", str(folder / "voc" / "train.lst"), "--root", str(folder), "--out", str(folder / "seen"),
                 "--images", "3", "--crop-size", "40", "--height", "48"])
    pairs, crops = (np.asarray(Image.open(folder / "seen" / f"{name}.png")) for name in ("pairs", "crops"))
    assert pairs.shape[1] > 6 * 64 and crops.shape[1] > 6 * 48
    assert (pairs == class_colours(DATASETS["voc"].palette, [3])[0]).all(-1).sum() > 100  # class 3 alone
    assert "3 of 4 images, the first of epoch 1 with seed 0" in capsys.readouterr().out


def test_classification_sheets(tree):
    folder, samples = tree
    rows = [Sample(str(folder), sample.image, place) for place, sample in enumerate(samples)]
    write_classification_list(folder / "mine" / "train.lst", rows)
    report.main(["data", str(folder / "mine" / "train.lst"), "--root", str(folder), "--out", str(folder / "seen"),
                 "--images", "9", "--crop-size", "16", "--height", "32"])
    images, crops = (np.asarray(Image.open(folder / "seen" / f"{name}.png")) for name in ("images", "crops"))
    assert crops.shape[1] == 4 * 32 + 5 * 6 and images.shape[1] > crops.shape[1]  # crops are square, images are not


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_records_look_like_their_list(tree, task):
    folder, samples = tree
    path, names = folder / "voc" / "train.lst", ("pairs", "crops")
    if task == "classification":
        path, names = folder / "mine" / "train.lst", ("images", "crops")
        write_classification_list(path, [Sample(str(folder), sample.image, 3) for sample in samples])
    pack.main([str(path), "--root", str(folder), "--out", str(folder / "voc" / "packed"), "--workers", "1"])
    packed = ["--records", str(folder / "voc" / "packed")]
    for source, out in (([str(path), "--root", str(folder)], "a"), (packed, "b")):
        report.main(["data", *source, "--dataset", path.parent.name, "--out", str(folder / out), "--crop-size", "32"])
    for name in names:
        assert (folder / "a" / f"{name}.png").read_bytes() == (folder / "b" / f"{name}.png").read_bytes()


def test_real_images(data_root, tmp_path):
    report.main(["data", "data/camvid/train.lst", "--root", str(data_root / "camvid"), "--out", str(tmp_path),
                 "--images", "2"])
    assert Image.open(tmp_path / "pairs.png").height == Image.open(tmp_path / "crops.png").height


@pytest.mark.parametrize("arguments, words", [
    (["--dataset", "atlantis"], "dataset 'atlantis' is not known: --dataset names one of"),
    (["--model", "voc_rna-zz_cls21"], "rna-zz"),
    (["--model", "voc_rna-a1_cls20_s8"], "21 classes, the label says 20"),
    (["--records", "packed"], "LIST or --records PREFIX, and not both"),
    (["--scale-rate-range", "1.3,0.7"], "0.7"),
    (["--crop-area-range", "0.5,2"], "at most 1"),
])
def test_wrong_arguments(tree, arguments, words):
    folder, _ = tree
    with pytest.raises(UsageError, match=words):
        report.main(["data", str(folder / "voc" / "train.lst"), "--root", str(folder), "--out", str(folder / "seen"),
                     *arguments])
    assert not (folder / "seen").exists()


def test_labels_that_do_not_count_are_hatched():
    image = np.full((32, 32, 3), 100, np.uint8)
    picture = labels_over(image, np.array([[1, 255]]), np.full((256, 3), 200, np.uint8))
    assert (picture[:, :16] == 150).all()
    assert set(np.unique(picture[:, 16:])) == {100, 255}


def test_captioned_grid_takes_any_names():
    captions = ["犬", "a name that is far wider than its picture", "c"]
    grid = captioned_grid([np.zeros((40, 30, 3), np.uint8)] * 3, captions, 2,
                          [((255, 0, 0), "猫"), ((0, 255, 0), "b" * 30), ((0, 0, 255), "c" * 30)])
    assert grid.shape[1] == 2 * 30 + 3 * 6 and tuple(grid[0, 0]) == GROUND
    assert all((grid == colour).all(-1).sum() > 50 for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


# The ceiling of the grid


def test_labels_from_cells_are_the_truth_where_every_pixel_is_a_cell():
    truth = np.random.default_rng(0).integers(0, 3, (12, 16)).astype(np.uint8)
    np.testing.assert_array_equal(data.from_cells(truth, 16, 1, 3), truth)


def test_thin_things_are_lost_between_the_centres_of_cells():
    truth = np.zeros((64, 64), np.uint8)
    truth[:, 17], truth[:, 41:48] = 1, 2  # centres are at 4, 12, 20 …
    coarse = data.from_cells(truth, 64, 8, 3)
    assert (coarse != 1).all() and 0.6 < (coarse == 2).sum() / (truth == 2).sum() < 1.4
    fine = data.from_cells(truth, 512, 8, 3)
    assert (fine == truth).mean() > 0.98


def test_the_ceiling_is_printed_and_kept(tmp_path, capsys):
    label = np.zeros((60, 80), np.uint8)
    label[:, 40:], label[20, 3], label[0] = 5, 2, 255  # of one pixel, between the centres
    write_png(str(tmp_path / "t.png"), label)
    write_png(str(tmp_path / "x.png"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "x.lst").write_text("x.png\tt.png\n")
    report.main(["ceiling", str(tmp_path / "x.lst"), "--root", str(tmp_path), "--model", "demo_rna-a1_cls6_s8",
                 "--test-scales", "80,640", "--output", str(tmp_path / "x.json")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["images"] == 1 and list(found["scales"]) == ["80", "640"]
    coarse, fine = (one["class_iou"] for one in found["scales"].values())
    assert coarse[2] == 0 and fine == [100, None, 100, None, None, 100] and 99 < coarse[0] < 100
    assert lines[-1] == ["mean", *(f"{one['mean_iou']:.1f}" for one in found["scales"].values())]
