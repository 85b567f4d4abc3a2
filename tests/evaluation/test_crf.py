"""The CRF: what it must and must not change, and the processes that it runs in."""
import os
import sys
import threading
import time

import numpy as np
import pytest

from ademxapp import machine
from ademxapp.cli import UsageError
from ademxapp.evaluation import dense
from ademxapp.evaluation.dense import CrfSettings, Labels, ScoreMap, crf_label_maps, label_map
from ademxapp.machine import MainMemory
from ademxapp.processes import Processes

SIZE = (48, 60)
needs_crf = pytest.mark.skipif(not dense.crf_available(), reason="pydensecrf is not installed")


def score_map(seed=0, classes=4, cell=8):
    cells = tuple(-(-side // cell) for side in SIZE)
    scores = np.random.default_rng(seed).random((classes, *cells)).astype(np.float32) ** 3
    return ScoreMap(scores / scores.sum(0), cell, SIZE, SIZE)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def square():
    """An image of a dark square on a bright ground, and the square's mask."""
    inside = np.zeros(SIZE, bool)
    inside[13:35, 17:43] = True
    return np.where(inside[..., None], [30, 40, 50], [200, 190, 180]).astype(np.uint8), inside


@pytest.mark.parametrize("settings", [
    CrfSettings(gaussian_weight=0, bilateral_weight=0), CrfSettings(iterations=0),
    pytest.param(CrfSettings(gaussian_weight=1e-6, bilateral_weight=1e-6), marks=needs_crf)])
def test_without_pairwise_weight_labels_are_the_best_classes(settings):
    maps = [score_map(0), score_map(1)]
    labels, = crf_label_maps(maps, [1.0, 2.0], picture(), (settings,))
    np.testing.assert_array_equal(labels, label_map(maps, [1.0, 2.0]))
    assert len(np.unique(labels)) == 4 and labels.dtype == np.uint8


@needs_crf
def test_labels_follow_the_edges_of_the_image():
    """Scores on cells of 8 pixels know the square roughly; with the colours, all its pixels are found."""
    image, inside = square()
    share = np.pad(inside, ((0, 0), (0, 4))).reshape(6, 8, 8, 8).mean((1, 3))
    coarse = ScoreMap(np.stack([0.8 - 0.6 * share, 0.2 + 0.6 * share]).astype(np.float32), 8, SIZE, SIZE)
    before = label_map([coarse])
    after, = crf_label_maps([coarse], None, image, (CrfSettings(),))
    assert (before != inside).mean() > 0.01
    np.testing.assert_array_equal(after, inside)


@needs_crf
def test_a_gaussian_term_alone_takes_away_single_pixels():
    scores = np.full((2, *SIZE), 0.4, np.float32)
    scores[0] = 0.6
    scores[:, 20, 30] = 0.4, 0.6
    plain = ScoreMap(scores, 1, SIZE, SIZE)
    assert label_map([plain]).sum() == 1
    labels, = crf_label_maps([plain], None, picture(), (CrfSettings(bilateral_weight=0),))
    assert labels.sum() == 0


@needs_crf
def test_probabilities_of_zero_are_no_trouble():
    scores = np.zeros((3, *SIZE), np.float32)
    scores[1] = 1
    labels, = crf_label_maps([ScoreMap(scores, 1, SIZE, SIZE)], None, picture(), (CrfSettings(),))
    assert (labels == 1).all()


@needs_crf
def test_one_and_several_processes_give_the_same_labels():
    settings = (CrfSettings(iterations=3), CrfSettings(iterations=3, bilateral_width=9, bilateral_colour=30))
    found = {}
    for processes in (1, 2):
        with Labels(settings, processes, [1.0, 0.5]) as label:
            assert label.threads == processes
            results = [None] * 4

            def run(i, label=label, results=results):
                results[i] = label(f"image {i}", [score_map(i), score_map(i + 10)], picture(i))

            threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found[processes] = np.array(results)
    assert found[1].shape == (4, 2, *SIZE)
    np.testing.assert_array_equal(found[1], found[2])
    here = [crf_label_maps([score_map(i), score_map(i + 10)], [1.0, 0.5], picture(i), settings) for i in range(4)]
    assert (found[1] != np.array(here)).mean() < 1e-3  # other threads of the products of matrices may round otherwise
    assert (found[1][:, 0] != found[1][:, 1]).any()


@needs_crf
def test_an_image_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "free_bytes", lambda: 2 ** 18)
    with Labels((CrfSettings(),), 1) as label, pytest.raises(
            ValueError, match=r"one: a CRF over 60x48 pixels and 4 classes needs 0.0 GiB.*without --crf"):
        label("one", [score_map()], picture())
    with Labels((CrfSettings(iterations=0),), 1) as label:
        label("one", [score_map()], picture())  # needs none


def test_threads_divide_the_free_memory_and_wait_for_each_other(monkeypatch):
    free = [100]
    monkeypatch.setattr(machine, "free_bytes", lambda: free[0])
    memory, holding, most = MainMemory(), [], []

    def hold(wanted):
        with memory.part(wanted):
            holding.append(wanted)
            most.append(sum(holding))
            time.sleep(0.01)
            holding.remove(wanted)

    threads = [threading.Thread(target=hold, args=(wanted,)) for wanted in (60, 60, 30, 40, 100, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 6 and max(most) <= 100
    free[0] = 50  # measured anew when nobody holds any
    with pytest.raises(MemoryError):
        hold(60)


def test_best_classes_need_no_process():
    with Labels(weights=[1, 3]) as label:
        found, = label("image", [score_map(0), score_map(1)], picture())
    np.testing.assert_array_equal(found, label_map([score_map(0), score_map(1)], [1, 3]))


# Processes


def test_processes_import_neither_mxnet_nor_the_program():
    with Processes(eval, 2, "--crf-workers") as processes:
        for _ in range(2):  # both of them, in turn
            processes("what the CRF needs", "__import__('ademxapp.evaluation.dense') and None")
        modules = processes("a question", "sorted(__import__('sys').modules)")
        niceness = processes("a question", "__import__('os').nice(0)")
    assert "ademxapp.evaluation.dense" in modules
    assert not {"mxnet", "pytest"} & set(modules)
    assert niceness > os.nice(0) or os.nice(0) >= 15


def test_errors_in_processes_are_raised_here_and_their_death_is_named():
    with Processes(eval, 1, "--crf-workers") as processes:
        with pytest.raises(ZeroDivisionError):
            processes("a division", "1 / 0")
        assert processes("a sum", "1 + 1") == 2
        with pytest.raises(ChildProcessError, match=r"exit status 3\) during the end.*memory.*--crf-workers"):
            processes("the end", "__import__('os')._exit(3)")


def test_processes_end_with_the_block():
    with Processes(eval, 1, "--crf-workers") as processes:
        number = processes("a number", "__import__('os').getpid()")
        assert number != os.getpid()
    assert not os.path.exists(f"/proc/{number}") or not sys.platform.startswith("linux")


def test_without_pydensecrf_the_drivers_say_how_to_get_it(monkeypatch):
    from issegm import voc
    there = dense.importlib.util.find_spec
    monkeypatch.setattr(dense.importlib.util, "find_spec", lambda name: None if "densecrf" in name else there(name))
    with pytest.raises(UsageError, match=r"pydensecrf2==1.1.*\.\[crf\]"):
        voc.main(["--phase", "val", "--weights", __file__, "--model", "demo_rna-b1-w0.02_cls6_s8", "--test-scales",
                  "48", "--crf"])
