"""Scores of benchmarks, held to the official script where there is one and else to plain NumPy.

The script of Cityscapes is no part of the extra `test`, because it brings a backport of `typing`, which has no place in
current Pythons: pip install --no-deps cityscapesScripts appdirs coloredlogs humanfriendly pyquaternion
"""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample
from ademxapp.evaluation.confusion import Confusion, InstanceCounts
from issegm.datasets import DATASETS, read_pair
from issegm.scoring import Scores, read_instances, score_lines

CITYSCAPES = DATASETS["cityscapes"]
LABEL = "gtFine/train/aachen/aachen_00000{}_000019_gtFine_labelIds.png"
IMAGE = "leftImg8bit/train/aachen/aachen_00000{}_000019_leftImg8bit.png"


def perturbed(truth, classes, seed):
    """A prediction: the truth, shifted and with blocks of other classes; no pixel is void."""
    rng = np.random.default_rng(seed)
    predicted = np.roll(truth, (5, -9), (0, 1))
    for _ in range(60):
        top, left = rng.integers(truth.shape[0]), rng.integers(truth.shape[1])
        predicted[top:top + rng.integers(5, 120), left:left + rng.integers(5, 120)] = rng.integers(classes)
    void = predicted >= classes
    predicted[void] = rng.integers(classes, size=void.sum())
    return predicted


@pytest.fixture(scope="module")
def cityscapes(data_root):
    """Samples of Cityscapes with instances, truths and predictions."""
    root = str(data_root / "cityscapes")
    samples = [Sample(root, IMAGE.format(i), label_image=LABEL.format(i)) for i in range(4)]
    truths = [read_pair(sample, CITYSCAPES)[1] for sample in samples]
    return samples, truths, [perturbed(truth, 19, seed) for seed, truth in enumerate(truths)]


@pytest.fixture(scope="module")
def scores(cityscapes):
    found = Scores(CITYSCAPES, cityscapes[0])
    for sample, truth, predicted in zip(*cityscapes):
        found.add(sample, truth, predicted)
    return found


def test_cityscapes_scores_are_those_of_the_official_script(cityscapes, scores, tmp_path, monkeypatch):
    monkeypatch.setenv("CITYSCAPES_DATASET", str(tmp_path))
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
                                   reason="cityscapesScripts is not installed")
    paths = []
    for number, (_, _, predicted) in enumerate(zip(*cityscapes)):
        paths.append(str(tmp_path / f"aachen_00000{number}_000019_pred.png"))
        Image.fromarray(CITYSCAPES.to_label_ids(predicted)).save(paths[-1])
    official.args.quiet, official.args.JSONOutput = True, False
    wanted = official.evaluateImgLists(paths, [sample.label_path for sample in cityscapes[0]], official.args)
    found = scores.result()
    names = CITYSCAPES.class_names
    compare(dict(zip(names, found["class_iou"])), {name: wanted["classScores"][name] for name in names})
    compare(dict(zip(names, found["class_iiou"])), {name: wanted["classInstScores"][name] for name in names})
    compare(found["category_iou"], {name: wanted["categoryScores"][name] for name in CITYSCAPES.categories})
    compare(found["category_iiou"], {name: wanted["categoryInstScores"][name] for name in CITYSCAPES.categories})
    for mine, theirs in (("mean_iou", "averageScoreClasses"), ("mean_iou_of_categories", "averageScoreCategories"),
                         ("mean_iiou", "averageScoreInstClasses"),
                         ("mean_iiou_of_categories", "averageScoreInstCategories")):
        assert found[mine] / 100 == pytest.approx(wanted[theirs], abs=1e-6)


def compare(found, wanted):
    """Percentages, None where undefined, and shares, NaN where undefined: equal to 1e-6."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] is None) == np.isnan(value), name
        assert found[name] is None or found[name] / 100 == pytest.approx(value, abs=1e-6), name
    assert any(value is not None for value in found.values())


def test_parts_of_a_test_add_up(cityscapes, scores):
    total = Scores(CITYSCAPES, cityscapes[0])
    for sample, truth, predicted in zip(*cityscapes):
        total.merge(Scores(CITYSCAPES, [sample]).add(sample, truth, predicted))
    assert total.result() == scores.result()
    with pytest.raises(ValueError, match="with instances and without them"):
        total.merge(Scores(CITYSCAPES))


def test_instances_are_read_with_their_classes(cityscapes):
    classes, numbers = read_instances(cityscapes[0][0], CITYSCAPES)
    truth = cityscapes[1][0]
    inside = numbers >= 0
    assert inside.any() and (classes[inside] == truth[inside]).all()
    assert {CITYSCAPES.class_names[index] for index in np.unique(classes[inside])} == {
        "person", "rider", "car", "bicycle"}
    assert len(np.unique(numbers[inside])) > 8


# Without real data


def test_small_instances_weigh_as_much_as_large_ones():
    """Two cars of mean size 10: one of 2 pixels, missed, and one of 8, found; and one false pixel of a car."""
    classes = np.array([[1] * 10 + [0] * 2])
    numbers = np.array([[5] * 2 + [7] * 8 + [-1] * 2])
    predicted = np.array([[0] * 2 + [1] * 8 + [1, 0]])
    counts = InstanceCounts({1: 10}, [(0,), (1,)]).add(classes, numbers, predicted)
    confusion = Confusion(2).add(classes, predicted)
    iiou = counts.iiou(confusion.counts)
    assert np.isnan(iiou[0]) and iiou[1] == pytest.approx(100 * 10 / (10 + 10 + 1))
    assert confusion.class_iou[1] == pytest.approx(100 * 8 / 11)
    with pytest.raises(ValueError, match="pixels"):
        counts.add(classes, numbers, predicted[:, 1:])


def cityscapes_files(root, numbers):
    """Samples of two tiny images; `numbers` of them have images of instances."""
    samples = []
    for number in range(2):
        sample = Sample(str(root), IMAGE.format(number), label_image=LABEL.format(number))
        write_png(sample.label_path, np.array([[26, 26, 7]], np.uint8))
        if number in numbers:
            Image.fromarray(np.array([[26001, 26, 7]], np.uint16)).save(
                sample.label_path.replace("labelIds", "instanceIds"))
        samples.append(sample)
    return samples


def test_instances_are_those_of_all_images_or_an_error_names_one(tmp_path):
    assert "mean_iiou" not in Scores(CITYSCAPES, cityscapes_files(tmp_path / "none", ())).result()
    with pytest.raises(ValueError, match=IMAGE.format(1)):
        Scores(CITYSCAPES, cityscapes_files(tmp_path / "one", (0,)))
    samples = cityscapes_files(tmp_path / "all", (0, 1))
    found = Scores(CITYSCAPES, samples)
    found.add(samples[0], np.array([[13, 13, 0]], np.uint8), np.array([[13, 0, 0]], np.uint8))
    car, vehicle = found.result()["class_iiou"][13], found.result()["category_iiou"]["vehicle"]
    assert car == vehicle == 100  # of a group of cars, 26, nothing counts
    with pytest.raises(ValueError, match=IMAGE.format(1)):
        found.add(samples[1], np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8))


def test_categories_count_classes_together():
    truth, predicted = np.array([[0, 0, 1, 2, 3, 18]], np.uint8), np.array([[1, 0, 1, 3, 3, 13]], np.uint8)
    found = Scores(CITYSCAPES).add(SimpleNamespace(image_path="a"), truth, predicted).result()
    assert found["category_iou"] == {"flat": 100, "construction": 100, "object": None, "nature": None, "sky": None,
                                     "human": None, "vehicle": 100}
    assert found["mean_iou_of_categories"] == 100 and found["class_iou"][0] == 50
    lines = "\n".join(score_lines(CITYSCAPES, found))
    assert "flat                 IoU 100.00%" in lines and "mean IoU of categories 100.00%" in lines


def pixels_of(pairs):
    truth = np.concatenate([truth.ravel() for truth, _ in pairs]).astype(int)
    return truth, np.concatenate([predicted.ravel() for _, predicted in pairs]).astype(int)


@pytest.mark.parametrize("name", ["voc", "ade20k"])
def test_definitions_of_voc_and_ade20k(name):
    """As the benchmarks' pages put them, over all pixels at once, in the values of label files."""
    record, rng = DATASETS[name], np.random.default_rng(3)
    pairs = []
    for _ in range(3):
        label = rng.choice([*record.label_ids, *record.ignored_ids], (40, 50)).astype(np.uint8)
        predicted = np.where(rng.random(label.shape) < 0.6, label, rng.choice(record.label_ids, label.shape))
        predicted[np.isin(predicted, record.ignored_ids)] = record.label_ids[2]
        pairs.append((label, predicted.astype(np.uint8)))
    scores = Scores(record)
    for label, predicted in pairs:
        scores.add(SimpleNamespace(image_path="a"), record.to_classes(label, "a"), record.to_classes(predicted, "a"))
    found, (truth, predicted) = scores.result(), pixels_of(pairs)
    counted = truth != (255 if name == "voc" else 0)
    truth, predicted = truth[counted], predicted[counted]
    pixel_acc, iou, share = 100 * (truth == predicted).mean(), [], []
    for value in (range(21) if name == "voc" else range(1, 151)):
        both, either = (truth == value) & (predicted == value), (truth == value) | (predicted == value)
        iou.append(100 * both.sum() / either.sum())
        share.append((truth == value).mean())
    assert found["class_iou"] == pytest.approx(iou) and found["mean_iou"] == pytest.approx(np.mean(iou))
    assert found["pixel_acc"] == pytest.approx(pixel_acc)
    assert found["mean_of_pixel_acc_and_mean_iou"] == pytest.approx((pixel_acc + np.mean(iou)) / 2)
    assert found["frequency_weighted_iou"] == pytest.approx(np.dot(share, iou))
    assert any("mean of pixel accuracy and mean IoU" in line for line in score_lines(record, found)) == (
        name == "ade20k")


def test_nothing_that_counts_gives_no_scores():
    found = Scores(CITYSCAPES).add(SimpleNamespace(image_path="a"), np.full((2, 2), 255, np.uint8),
                                   np.zeros((2, 2), np.uint8)).result()
    assert found["frequency_weighted_iou"] is found["mean_of_pixel_acc_and_mean_iou"] is None
    assert found["mean_iou_of_categories"] is None and any("-" in line for line in score_lines(CITYSCAPES, found))


@pytest.mark.parametrize("more, warned", [((), True), ((4,), False)])
def test_truths_of_one_class_alone_are_told(more, warned):
    """Else masks of 0 and 255 give a mean IoU of 100 %."""
    truth = np.array([[0, 0, 255, *more]], np.uint8)
    scores = Scores(CITYSCAPES).add(SimpleNamespace(image_path="a"), truth, np.where(truth == 255, 0, truth))
    *_, last = score_lines(CITYSCAPES, scores.result())
    assert ("warning: every pixel that counts is road: these scores say nothing" in last) == warned


def test_a_prediction_outside_of_the_classes_is_an_error():
    with pytest.raises(ValueError, match=r"street\.png cannot be scored: the prediction has class 255"):
        Scores(CITYSCAPES).add(SimpleNamespace(image_path="street.png"), np.zeros((1, 2), np.uint8),
                               np.array([[3, 255]], np.uint8))
    Scores(CITYSCAPES).add(SimpleNamespace(image_path="a"), np.full((1, 1), 255, np.uint8),
                           np.full((1, 1), 255, np.uint8))


def test_categories_of_a_dataset_file_hold_every_class():
    with pytest.raises(ValueError, match="categories: wanted every class in one of them"):
        type(CITYSCAPES)("mine", ("a", "b"), categories={"letters": ("a",)})


