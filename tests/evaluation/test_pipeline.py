"""A test run: what goes on beside the network gives what it gives one after another."""
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ademxapp.backend import mx
from ademxapp.data.images import decode_label, read_bytes
from ademxapp.data.lists import Sample
from ademxapp.engine.mxnet.runtime import Predictor
from ademxapp.evaluation.dense import Labels, label_map
from ademxapp.weights.description import Description
from ademxapp.weights.parameters import Parameters
from issegm import Segmenter
from issegm.datasets import DATASETS
from issegm.scoring import Scores
from issegm.segmenter import DenseTest
from issegm.testing import score_samples

CAMVID = DATASETS["camvid"]


def predictor(devices=1):
    """A network of one convolution and softmax, of three classes."""
    top = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=3, kernel=(3, 3), stride=(2, 2), name="top")
    weight = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32)
    return Predictor(mx.sym.SoftmaxOutput(top, multi_output=True, name="softmax"), Parameters(
        {"top_weight": weight, "top_bias": np.zeros(3, np.float32)}, {}), [mx.cpu(i) for i in range(devices)])


@pytest.mark.parametrize("devices", [1, 2])
def test_passes_that_are_begun_together_give_each_its_own_outputs(devices):
    """The same bits as one after another, though they share a module, or its parameters, and their inputs change."""
    inputs = [np.random.default_rng(i).normal(size=(count, 3, side, 16)).astype(np.float32)
              for i, (count, side) in enumerate([(2, 16), (2, 16), (1, 16), (2, 24), (2, 16)])]
    network = predictor(devices)
    wanted = [network(data) for data in inputs]
    together, waits = predictor(devices), []
    for data in inputs:
        data = data.copy()
        waits.append(together.begin(data))
        data[:] = 0
    for wait, outputs in zip(waits, wanted):
        np.testing.assert_array_equal(wait(), outputs)
    assert len({outputs.tobytes() for outputs in wanted}) == len(inputs)


class WatchedNetwork(Segmenter):
    """Keeps which threads prepare images and predict them."""

    threads = {"prepare": set(), "score_maps": set()}

    def prepare(self, *args):
        self.threads["prepare"].add(threading.get_ident())
        return super().prepare(*args)

    def score_maps(self, *args):
        self.threads["score_maps"].add(threading.get_ident())
        return super().score_maps(*args)


def test_only_the_network_runs_in_the_main_thread(tmp_path):
    rng, samples = np.random.default_rng(0), []
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 12, (30, 40)).astype(np.uint8)).save(tmp_path / f"truth{i}.png")
        samples.append(Sample(str(tmp_path), f"{i}.png", label_image=f"truth{i}.png"))

    def predict(data):
        scores = np.exp(4 * np.tile(data[:, :, 4::8, 4::8], (1, 4, 1, 1))[:, :11])
        return scores / scores.sum(1, keepdims=True)

    class WatchedLabels(Labels):
        threads_seen = set()

        def __call__(self, name, score_maps, image):
            self.threads_seen.add(threading.get_ident())
            return super().__call__(name, score_maps, image)

    known = Description("camvid_x_cls11_s8", "segmentation", 11, 8, (0.5,) * 3, (0.2,) * 3, "adaptive", 64)
    network = WatchedNetwork(known, replace(CAMVID, same_size=False), DenseTest((48, 64), flipping=True), predict)
    scores = Scores(CAMVID, samples)
    score_samples([scores], samples, CAMVID, [network], WatchedLabels(), readers=2)
    wanted = Scores(CAMVID, samples)
    for sample in samples:
        truth = CAMVID.to_classes(decode_label(read_bytes(sample.label_path), "truth"), "truth")
        wanted.add(sample, truth, label_map(network.score_maps(sample, np.asarray(Image.open(sample.image_path)))))
    np.testing.assert_array_equal(scores.confusion.counts, wanted.confusion.counts)
    assert scores.confusion.counts.sum() > 0.8 * 5 * 30 * 40
    main = {threading.get_ident()}
    assert network.threads["score_maps"] == main and not main & WatchedLabels.threads_seen
    assert network.threads["prepare"] - main
