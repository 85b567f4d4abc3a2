"""Score maps to labels, and labels to a confusion matrix: the fast ways against plain ones, and their memory."""
import tracemalloc

import numpy as np
import pytest

from ademxapp.data import transforms
from ademxapp.data.transforms import scaled_size
from ademxapp.evaluation import dense
from ademxapp.evaluation.confusion import Confusion
from tools.benchmarks.testing import pillow_plane, plain_labels, score_map_like

CASES = {  # classes, (h, w) of the image, the longer side as scaled
    "as it is": (19, (64, 128), 128), "shrunk": (11, (90, 120), 150), "enlarged": (21, (125, 94), 100),
    "many classes": (150, (60, 80), 72)}


@pytest.mark.parametrize("case", CASES)
def test_scores_at_image_size_are_pillows_class_by_class(case):
    """To 1e-4, as promised; labels are the same where the two best classes are further apart than that."""
    classes, size, scale = CASES[case]
    score_map = score_map_like(classes, size, scale)
    wanted = np.stack([pillow_plane(plane, score_map.cell, score_map.scaled, size) for plane in score_map.scores])
    found = dense.scores_at_image_size([score_map])
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    labels, best = dense.label_map([score_map]), np.sort(wanted, 0)
    clear = best[-1] - best[-2] > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(labels[clear], plain_labels(wanted)[clear])


@pytest.mark.parametrize("maps", [1, 3])
def test_labels_do_not_depend_on_the_tiles(monkeypatch, maps):
    size, scales = (70, 97), (97, 120, 64)[:maps]
    score_maps = [score_map_like(7, size, scale, seed) for seed, scale in enumerate(scales)]
    whole = dense.scores_at_image_size(score_maps, [3, 1, 2][:maps])
    monkeypatch.setattr(dense, "TILE_ROWS", 5)
    monkeypatch.setattr(dense, "TILE_VALUES", 7 * 5 * 11)
    labels = dense.label_map(score_maps, [3, 1, 2][:maps])
    clear = np.diff(np.sort(whole, 0)[-2:], axis=0)[0] > 1e-6  # rounding differs with the size of a matrix
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], whole.argmax(0)[clear])


def test_of_equal_scores_the_first_is_the_best():
    scores = np.random.default_rng(0).integers(0, 4, (256, 9, 11)).astype(np.float32)
    labels = dense.first_best(scores)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, scores.argmax(0))


def test_many_classes_are_never_held_at_image_size():
    score_map = score_map_like(150, (512, 683), 683)
    dense.label_map([score_map_like(2, (512, 683), 683)])  # its matrices are kept
    tracemalloc.start()
    try:
        dense.label_map([score_map])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * 512 * 683 * 8 / 20


@pytest.mark.parametrize("classes", [1, 19, 255])
def test_confusions_are_counted_as_pixel_by_pixel(classes):
    rng = np.random.default_rng(classes)
    truth, predicted = (rng.integers(0, top, (37, 53)).astype(np.uint8) for top in (256, classes))
    counts = np.zeros((256, 256), int)
    np.add.at(counts, (truth, predicted), 1)
    np.testing.assert_array_equal(Confusion(classes).add(truth, predicted).counts, counts[:classes, :classes])


def test_predictions_outside_of_the_classes_are_an_error_where_the_truth_counts():
    truth, predicted = np.array([[0, 255]], np.uint8), np.array([[2, 9]], np.uint8)
    assert Confusion(3).add(truth, predicted).counts[0, 2] == 1
    with pytest.raises(ValueError, match="class 9, wanted 0 … 2"):
        Confusion(3).add(truth[:, ::-1], predicted)
    with pytest.raises(ValueError, match="from 0 to 300"):
        Confusion(3).add(np.array([[0, 300]]), predicted)


@pytest.mark.parametrize("size, scale", [((40, 64), 64), ((64, 40), 90), ((50, 50), 40)])
def test_inputs_are_the_bits_of_the_colour_map(size, scale):
    """What the network sees is to the bit what the affine map of colours gives, in float32."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = dense.DenseSettings(mean, std, 8, interpolation="bicubic").scaled_pixels(image, scale)
    scaled = np.asarray(dense.resize(dense.Image.fromarray(image), scaled_size(size, scale, longer=True),
                                     interpolation="bicubic"))
    np.testing.assert_array_equal(found, transforms.apply_colour_map(scaled, *transforms.normalisation(mean, std)))
