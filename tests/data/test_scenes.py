"""The generated dataset: the same bits from the same key, fair classes, and no help from colour alone."""

import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from ademxapp import IGNORE_LABEL
from ademxapp.data import scenes

OBJECTS = range(1, len(scenes.CLASSES))
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn():
    """120 scenes: (image, label) each."""
    return [scenes.draw_scene(scenes.picture_rng(0, "test", i)) for i in range(120)]


def test_same_key_gives_same_bits(drawn):
    image, label = scenes.draw_scene(scenes.picture_rng(0, "test", 7))
    assert np.array_equal(image, drawn[7][0]) and np.array_equal(label, drawn[7][1])
    patches = [scenes.cut_object(scenes.picture_rng(3, "a", 5), 2) for _ in range(2)]
    assert np.array_equal(*patches)


@pytest.mark.parametrize("key", [(0, "val", 7), (1, "test", 7), (0, "test", 8)])
def test_another_seed_split_or_index_gives_another_scene(drawn, key):
    image, _ = scenes.draw_scene(scenes.picture_rng(*key))
    assert image.shape != drawn[7][0].shape or not np.array_equal(image, drawn[7][0])


def test_types_sizes_and_label_values(drawn):
    low, high = scenes.SCENE_SIDES
    for image, label in drawn:
        assert image.dtype == label.dtype == np.uint8
        assert image.shape == label.shape + (3,)
        assert low <= min(label.shape) and max(label.shape) <= high
        assert set(np.unique(label)) <= {0, *OBJECTS, IGNORE_LABEL}
    assert len({label.shape for _, label in drawn}) > 60
    assert any(label.shape[0] > label.shape[1] for _, label in drawn)
    assert any(label.shape[0] < label.shape[1] for _, label in drawn)


def test_given_size():
    image, label = scenes.draw_scene(scenes.picture_rng(0, "test", 0), size=(90, 200))
    assert image.shape == (90, 200, 3) and label.shape == (90, 200)


def test_border_parts_whatever_differs_and_is_thin(drawn):
    for _, label in drawn:
        void = label == IGNORE_LABEL
        assert void.any()
        # No two classes are direct neighbours ...
        for one, two in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
            assert not ((one != two) & (one != IGNORE_LABEL) & (two != IGNORE_LABEL)).any()
    # ... and little is left of a border two pixels wide once a pixel is taken off each side (its corners).
    void = sum(int((label == IGNORE_LABEL).sum()) for _, label in drawn)
    core = sum(int(cv2.erode((label == IGNORE_LABEL).astype(np.uint8), np.ones((3, 3))).sum()) for _, label in drawn)
    assert core < 0.05 * void
    assert void < 0.1 * sum(label.size for _, label in drawn)


def test_classes_are_about_equally_frequent(drawn):
    present = np.array([[np.any(label == k) for k in OBJECTS] for _, label in drawn])
    objects = present.sum(1)
    assert objects.min() >= 1 and objects.max() == 4
    # Binomial with p about 0.38: 120 scenes give 46 +- 5 of each; four deviations.
    assert (np.abs(present.sum(0) - present.sum() / len(OBJECTS)) < 21).all()
    pixels = np.array([sum(int((label == k).sum()) for _, label in drawn) for k in OBJECTS])
    assert pixels.max() < 5 * pixels.min()
    background = np.mean([np.mean(label == 0) for _, label in drawn])
    assert 0.5 < background < 0.85


def test_objects_are_of_several_sizes(drawn):
    areas = [np.mean(label == k) for _, label in drawn for k in np.unique(label) if k in OBJECTS]
    small, large = np.percentile(areas, [10, 90])
    assert small > 0.01, "too small for a network of output stride 8"
    assert large > 3 * small


def test_colour_alone_does_not_tell_the_class(drawn):
    """Nearest mean colour per class, on object pixels: chance is 1/5, and a useful cue would be above 0.6."""
    def pixels(part):
        image = np.concatenate([i.reshape(-1, 3) for i, _ in part]).astype(np.float64)
        label = np.concatenate([t.ravel() for _, t in part])
        return {k: image[label == k] for k in OBJECTS}

    train, val = pixels(drawn[:80]), pixels(drawn[80:])
    means = np.stack([train[k].mean(0) for k in OBJECTS])
    recalls = []
    for k in OBJECTS:
        distances = ((val[k][:, None] - means) ** 2).sum(2)
        recalls.append(np.mean(distances.argmin(1) == k - 1))
    assert np.mean(recalls) < 0.5


@pytest.mark.parametrize("class_id", OBJECTS)
def test_patches(class_id):
    patches = [scenes.cut_object(scenes.picture_rng(0, "test", i), class_id, 48) for i in range(4)]
    assert all(p.shape == (48, 48, 3) and p.dtype == np.uint8 and p.std() > 5 for p in patches)


@pytest.mark.parametrize("class_id", [0, len(scenes.CLASSES), IGNORE_LABEL])
def test_patch_of_no_object(class_id):
    with pytest.raises(ValueError, match="class_id is {}, want 1 to 5".format(class_id)):
        scenes.cut_object(scenes.picture_rng(0, "test", 0), class_id)


def test_folder_per_class_order():
    assert sorted(scenes.CLASSES[1:]) == list(scenes.CLASSES[1:])


@pytest.fixture
def drawn_sets(monkeypatch):
    """What the progress bars are told: (words, files to write) of each."""
    told = []

    def bar(todo, desc, **options):
        told.append((desc, len(todo)))
        return todo
    monkeypatch.setattr(scenes, "tqdm", bar)
    return told


def _write(root, patch_size=32):
    return (scenes.write_scenes(str(root), PALETTE, {"train": 3, "val": 2}),
            scenes.write_patches(str(root), {"train": 2, "val": 1}, patch_size))


def test_sets_are_written(tmp_path, drawn_sets):
    pairs, patches = _write(tmp_path / "demo")
    assert drawn_sets == [("drawing scenes", 5), ("drawing patches", 15)]
    assert pairs["val"] == [("images/val/00000.jpg", "labels/val/00000.png"),
                            ("images/val/00001.jpg", "labels/val/00001.png")]
    assert patches["train"][:3] == [(0, "patches/train/ball/00000.jpg"), (0, "patches/train/ball/00001.jpg"),
                                    (1, "patches/train/crate/00000.jpg")]
    assert [len(patches[split]) for split in ("train", "val")] == [10, 5]
    for split in pairs:
        for index, (image_path, label_path) in enumerate(pairs[split]):
            image, label = scenes.draw_scene(scenes.picture_rng(0, split, index))
            stored = Image.open(str(tmp_path / "demo" / label_path))
            assert stored.mode == "P"
            assert np.array_equal(np.asarray(stored), label)
            assert np.array_equal(np.reshape(stored.getpalette(), (-1, 3)), PALETTE[:len(stored.getpalette()) // 3])
            lossy = np.asarray(Image.open(str(tmp_path / "demo" / image_path))).astype(float)
            assert np.abs(lossy - image).mean() < 8
    for _, path in patches["train"]:
        assert Image.open(str(tmp_path / "demo" / path)).size == (32, 32)


def test_complete_sets_are_not_drawn_again(tmp_path, drawn_sets):
    first = _write(tmp_path)
    ages = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")}
    drawn_sets.clear()
    assert _write(tmp_path) == first
    assert drawn_sets == []
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*")} == ages


def test_what_is_missing_or_of_other_parameters_is_drawn(tmp_path, drawn_sets):
    _, patches = _write(tmp_path)
    lost = tmp_path / patches["val"][0][1]
    content = lost.read_bytes()
    lost.unlink()
    drawn_sets.clear()
    _write(tmp_path)
    assert drawn_sets == [("drawing patches", 1)] and lost.read_bytes() == content
    _write(tmp_path, patch_size=24)
    assert drawn_sets[1:] == [("drawing patches", 15)] and Image.open(str(lost)).size == (24, 24)


def test_an_interrupted_set_is_not_taken_for_complete(tmp_path, drawn_sets, monkeypatch):
    def interrupted(todo, **options):
        yield from todo[:2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scenes, "tqdm", interrupted)
        scenes.write_scenes(str(tmp_path), PALETTE, {"train": 4})
    assert len(list(tmp_path.rglob("*.jpg"))) == 2 and not os.path.exists(str(tmp_path / "scenes.json"))
    scenes.write_scenes(str(tmp_path), PALETTE, {"train": 4})
    assert drawn_sets == [("drawing scenes", 4)]
    assert json.loads((tmp_path / "scenes.json").read_text())["counts"] == {"train": 4}
    assert not list(tmp_path.rglob("*.tmp"))


def test_wrong_palette(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(7, 3\), want \(256, 3\)"):
        scenes.write_scenes(str(tmp_path), PALETTE[:7], {"train": 1})
