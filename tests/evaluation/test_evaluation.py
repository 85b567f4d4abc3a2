"""Score maps, labels and scores, against Pillow and slow references in NumPy."""
import threading
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from ademxapp.data.transforms import choose_filter, scaled_size
from ademxapp.evaluation import dense
from ademxapp.evaluation.confusion import Confusion, most_frequent_class_scores
from ademxapp.evaluation.pictures import contact_sheet, correct_picture
from ademxapp.processes import overlapped
from iclass.classifier import best_classes, mean_of_passes, top_errors, view_means

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("method", [Image.BILINEAR, Image.BICUBIC, Image.LANCZOS])
@pytest.mark.parametrize("source, target", [
    ((20, 30), (45, 31)), ((45, 31), (20, 30)), ((20, 30), (41, 12)), ((8, 9), (64, 72)), ((64, 72), (7, 5)),
    ((13, 13), (13, 26)), ((1, 5), (9, 3)), ((30, 2), (1, 1))])
def test_matrices_resize_as_pillow_does(method, source, target):
    values = np.random.default_rng(0).normal(size=source).astype(np.float32)
    wanted = np.asarray(Image.fromarray(values, mode="F").resize(target[::-1], method))
    rows, columns = (dense.resize_rows(np.eye(s), t, method) for s, t in zip(source, target))
    np.testing.assert_allclose(rows @ values @ columns.T, wanted, atol=2e-6)  # Pillow rounds between the axes


def slow_scores(score_map):
    """Each class by itself, through Pillow: enlarge, crop, resize to the image."""
    result = []
    for plane in score_map.scores:
        height, width = plane.shape
        image = Image.fromarray(plane, mode="F")
        image = image.resize((width * score_map.cell, height * score_map.cell), Image.BICUBIC)
        image = image.crop((0, 0, score_map.scaled[1], score_map.scaled[0]))
        if score_map.scaled != score_map.size:
            image = image.resize(score_map.size[::-1], choose_filter(score_map.scaled, score_map.size))
        result.append(np.asarray(image))
    return np.stack(result)


def random_map(rng, cell, scaled, size, classes=6):
    cells = tuple(-(-side // cell) for side in scaled)
    scores = rng.random((classes,) + cells).astype(np.float32)
    return dense.ScoreMap(scores / scores.sum(0), cell, scaled, size)


@pytest.mark.parametrize("size, scales", [
    ((50, 67), [67]), ((50, 67), [40]), ((50, 67), [100]), ((67, 50), [100, 67, 40]), ((33, 33), [40, 24]),
    ((50, 67), [68]),  # both sides grow or stay
])
@pytest.mark.parametrize("cell, chunk", [(8, 4_000_000), (4, 900)])
def test_labels_are_those_of_every_class_resized_by_itself(monkeypatch, size, scales, cell, chunk):
    monkeypatch.setattr(dense, "CHUNK_VALUES", chunk)
    rng = np.random.default_rng(1)
    maps = [random_map(rng, cell, scaled_size(size, scale, longer=True), size) for scale in scales]
    wanted = np.mean([slow_scores(score_map) for score_map in maps], axis=0)
    np.testing.assert_allclose(dense.scores_at_image_size(maps), wanted, atol=2e-6)
    labels = dense.label_map(maps)
    assert labels.shape == size and labels.dtype == np.uint8
    best = np.sort(wanted, 0)
    clear = best[-1] - best[-2] > 1e-5  # where rounding cannot decide
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], wanted.argmax(0)[clear])


class Coordinates:
    """Stands in for a network: gives what its cells see, at a stride of 8, and keeps its inputs."""

    def __init__(self, offset=0):
        self.offset, self.inputs = offset, []

    def __call__(self, data):
        self.inputs.append(data)
        return data[:, :, self.offset::8, self.offset::8].copy()


def settings(**rest):
    return dense.DenseSettings((0, 0, 0), (1, 1, 1), 8, **rest)


def position_image(height, width):
    """Red is the column, green is the row, blue is 255: what is not the image is 0."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 255)], -1).astype(np.uint8)


@pytest.mark.parametrize("steps, displacements", [(1, [0]), (2, [-2, 2]), (4, [-3, -1, 1, 3]), (8, list(range(-4, 4)))])
@pytest.mark.parametrize("batch", [1, 3])
def test_shifts_are_put_back_in_their_places(steps, displacements, batch):
    """A cell's position in the map, times its size, is where in the image it looked (BEHAVIOUR.md, steps 3, 4, 6)."""
    height, width, predict = 40, 64, Coordinates()
    score_map = dense.predict_dense(predict, position_image(height, width), 64, settings(steps=steps, batch=batch))
    grid = np.round(score_map.scores * 255).astype(int)
    assert score_map.cell == 8 // steps and grid.shape == (3, 8 * steps, 8 * steps)
    assert score_map.scaled == score_map.size == (height, width)
    assert [len(data) for data in predict.inputs] == [min(batch, steps ** 2 - i) for i in range(0, steps ** 2, batch)]
    seen = [8 * cell + move for cell in range(8) for move in displacements]  # the cells in the order of the map
    for row, y in enumerate(seen):
        for column, x in enumerate(seen):
            # The window is as large as the image: of what was moved in, the part beyond the image is 0.
            inside = 0 <= y < height and 0 <= x < width and 8 * (row // steps) < height
            assert tuple(grid[:, row, column]) == ((x, y, 255) if inside else (0, 0, 0)), (row, column)


def test_flipping_averages_with_the_mirrored_input():
    """What looks at a cell's left end looks at its right end in the mirrored input."""
    image = position_image(40, 64)
    score_map = dense.predict_dense(Coordinates(), image, 64, settings(flipping=True))
    columns = np.round(score_map.scores[0, 0] * 255, 1)
    np.testing.assert_allclose(columns, [(8 * cell + 8 * cell + 7) / 2 for cell in range(8)], atol=0.1)
    np.testing.assert_allclose(score_map.scores[2, :5], 1, atol=1e-6)


@pytest.mark.parametrize("square, scale, shape", [
    (True, 100, (104, 104)), (False, 100, (80, 104)), (True, 64, (64, 64)), (False, 48, (40, 48))])
def test_inputs_are_whole_cells_of_a_square_or_of_the_image(square, scale, shape):
    image = np.random.default_rng(0).integers(0, 256, (150, 200, 3)).astype(np.uint8)
    predict = Coordinates()
    how = dense.DenseSettings(MEAN, STD, 8, square=square)
    score_map = dense.predict_dense(predict, image, scale, how)
    height, width = round(150 * scale / 200), scale
    assert predict.inputs[0].shape == (1, 3) + shape and predict.inputs[0].dtype == np.float32
    assert (score_map.scaled, score_map.size) == ((height, width), (150, 200))
    scaled = np.asarray(Image.fromarray(image).resize((width, height), Image.LANCZOS))
    wanted = np.zeros((3,) + shape)
    wanted[:, :height, :width] = ((scaled / 255 - MEAN) / STD).transpose(2, 0, 1)
    np.testing.assert_allclose(predict.inputs[0][0], wanted, atol=1e-5)


def test_steps_that_do_not_divide_the_stride_are_an_error():
    with pytest.raises(ValueError, match="3 test steps do not divide the stride 8"):
        settings(steps=3)


# Scores


def slow_confusion(pairs, classes):
    counts = np.zeros((classes, classes), int)
    for truth, predicted in pairs:
        for t, p in zip(truth.reshape(-1), predicted.reshape(-1)):
            if t < classes:
                counts[t, p] += 1
    return counts


@pytest.fixture
def pairs():
    """Truths and predictions of 5 classes: 3 is absent, 4 only predicted, 2 only true; 255 is void."""
    rng = np.random.default_rng(0)
    return [(rng.choice([0, 1, 2, 255], (8, 9)).astype(np.uint8), rng.choice([0, 1, 4], (8, 9)).astype(np.uint8))
            for _ in range(4)]


def test_confusion_counts_and_scores(pairs):
    confusion = Confusion(5)
    for truth, predicted in pairs:
        confusion.add(truth, predicted)
    counts = slow_confusion(pairs, 5)
    found = confusion.scores(["a", "b", "c", "d", "e"])
    assert found["confusion"] == counts.tolist()
    iou, acc = [], []
    for k in range(5):
        t = np.concatenate([truth.reshape(-1) for truth, _ in pairs])
        p = np.concatenate([predicted.reshape(-1) for _, predicted in pairs])[t != 255]
        t = t[t != 255]
        union, both = ((t == k) | (p == k)).sum(), ((t == k) & (p == k)).sum()
        iou.append(100 * both / union if union else None)
        acc.append(100 * both / (t == k).sum() if (t == k).any() else None)
    assert iou[2] == iou[4] == 0 and iou[3] is None and acc[4] is acc[3] is None
    assert found["class_iou"] == pytest.approx(iou) and found["class_acc"] == pytest.approx(acc)
    assert found["classes_absent"] == ["d"]
    assert found["pixel_acc"] == pytest.approx(100 * (t == p).mean())
    assert found["mean_iou"] == pytest.approx((iou[0] + iou[1]) / 4)  # c and e count as 0, d does not count
    assert found["mean_iou_original"] == pytest.approx((iou[0] + iou[1]) / 5)
    assert found["mean_acc"] == pytest.approx((acc[0] + acc[1] + acc[2]) / 3)


def test_shards_of_a_confusion_add_up(pairs):
    whole = Confusion(5)
    for pair in pairs:
        whole.add(*pair)
    shards = [Confusion(5).add(*pair) for pair in pairs]
    total = Confusion(5)
    for shard in shards:
        total.merge(shard)
    np.testing.assert_array_equal(total.counts, whole.counts)
    assert total.counts.sum() == sum((truth != 255).sum() for truth, _ in pairs)


def test_counts_do_not_overflow():
    """Float32 counts, as the original's, stop at 16.8 million pixels."""
    confusion = Confusion(200)
    confusion.counts[150, 150] = 2 ** 40
    confusion.add(np.full((3, 3), 150, np.uint8), np.full((3, 3), 150, np.uint8))
    assert confusion.counts[150, 150] == 2 ** 40 + 9 and confusion.scores(map(str, range(200)))["mean_iou"] == 100


def test_nothing_to_score():
    scores = Confusion(3).add(np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)).scores("abc")
    assert scores["pixel_acc"] is scores["mean_iou"] is scores["mean_acc"] is None
    assert scores["classes_absent"] == ["a", "b", "c"] and scores["mean_iou_original"] == 0


def test_truth_and_prediction_of_two_sizes_are_an_error():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\)"):
        Confusion(3).add(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8))


def test_the_most_frequent_class_everywhere():
    counts = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 0]])  # true: 6 of a, 6 of b; the first of them
    accuracy, iou = most_frequent_class_scores(counts)
    assert accuracy == pytest.approx(50) and iou == pytest.approx((50 + 0) / 2)


def test_top_errors():
    probs = np.array([[0.1, 0.5, 0.2, 0.15, 0.03, 0.02], [0.3, 0.1, 0.2, 0.25, 0.1, 0.05],
                      [0.02, 0.2, 0.2, 0.2, 0.2, 0.18]])
    assert top_errors(probs, [1, 3, 0]) == pytest.approx([200 / 3, 100 / 3])
    assert top_errors(probs, [2, 0, 5], ks=(1, 2, 5, 6)) == pytest.approx([200 / 3, 100 / 3, 0, 0])
    assert top_errors(probs[:, :3], [1, 0, 1], ks=(1, 5)) == [0, 0]  # fewer classes than places


def test_views_of_an_image_are_averaged_while_the_next_are_read():
    batches = [np.array([[[1.0], [2.0], [6.0]], [[0.0], [0.0], [3.0]]]), np.array([[[9.0], [0.0], [0.0]]])]
    events = []

    def reading():
        for batch in batches:
            events.append("read")
            yield batch

    def begin(data):
        events.append(len(data))
        return lambda: events.append("waited") or data * [[1, 10]]

    found = np.concatenate(list(view_means(begin, reading(), 4)))
    np.testing.assert_allclose(found, [[3, 30], [1, 10], [3, 30]])
    # At most four views at a time; the first batch is waited for when the second is in the network.
    assert events == ["read", 4, 2, "read", 3, "waited", "waited", "waited"]


def test_a_mean_of_passes_has_numpys_bits_and_holds_one_array():
    """At ILSVRC's validation it is 200 MB; np.mean of three passes held seven of them."""
    rng, (images, classes) = np.random.default_rng(0), (3000, 1000)
    passes = [rng.random((images, classes), np.float32) for _ in range(3)]
    tracemalloc.start()
    found = mean_of_passes((np.array_split(one, 7) for one in passes), images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(found, np.mean(passes, 0))
    assert peak < 1.1 * found.nbytes


def test_best_classes_are_sorted_in_little_memory():
    probs = np.random.default_rng(0).integers(0, 50, (20000, 500)).astype(np.float32)
    tracemalloc.start()
    found = best_classes(probs, 7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(found[:200], np.argsort(-probs[:200], axis=1, kind="stable")[:, :7])
    assert found.shape == (20000, 7) and peak < 30e6  # all at once: 120


# Pictures, and side by side


def test_correct_picture():
    truth = np.array([[0, 1, 255, 2]], np.uint8)
    assert correct_picture(truth, np.array([[0, 2, 0, 2]], np.uint8), 3).tolist() == [[127, 0, 255, 127]]


def test_contact_sheet_holds_every_picture():
    red, grey = np.full((20, 40, 3), (255, 0, 0), np.uint8), np.full((30, 30), 9, np.uint8)
    sheet = contact_sheet([[red, grey], [red, grey]], ["image", "truth"], height=50)
    pictures = sheet[20:]  # below the captions
    assert ((pictures == (255, 0, 0)).all(2)).sum() == 2 * 50 * 100 and ((pictures == 9).all(2)).sum() == 2 * 50 * 50


def test_reading_and_finishing_run_beside_the_network_in_order():
    main, seen = threading.get_ident(), {"read": [], "forward": [], "finish": []}

    def stage(name, seconds):
        def run(item):
            seen[name].append((item, threading.get_ident()))
            time.sleep(seconds * (item % 3))
            return item
        return run

    found = list(overlapped(range(20), stage("read", 0.01), stage("forward", 0), stage("finish", 0.01), workers=3))
    assert found == [item for item, _ in seen["forward"]] == list(range(20))
    assert {thread for _, thread in seen["forward"]} == {main}
    assert main not in {thread for _, thread in seen["read"] + seen["finish"]}


@pytest.mark.parametrize("stage", ["read", "forward", "finish"])
def test_an_error_in_any_stage_ends_it(stage):
    def trouble(item):
        if item == 7:
            raise ValueError("the seventh")
        return item

    stages = {"read": int, "forward": int, "finish": int, stage: trouble}
    threads, found = threading.active_count(), []
    with pytest.raises(ValueError, match="the seventh"):
        for item in overlapped(range(1000), workers=2, **stages):
            found.append(item)
    assert found == list(range(len(found))) and len(found) <= 7 and threading.active_count() == threads


def test_it_reads_only_a_little_ahead():
    read = []
    results = overlapped(iter(range(1000)), lambda item: read.append(item) or item, int, int, workers=2)
    for _ in range(5):
        next(results)
    time.sleep(0.1)
    assert len(read) < 20
    results.close()
