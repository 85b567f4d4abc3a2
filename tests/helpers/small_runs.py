"""Runs of the training loop with small networks on fixed arrays."""
import logging

import numpy as np

from ademxapp import engine
from ademxapp.data.loader import Batch
from ademxapp.settings import DriverSettings
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol
from ademxapp.symbol.recorder import calls
from ademxapp.training.fit import Plan, fit
from ademxapp.training.progress import TrainingMetric
from ademxapp.training.shared import NESTEROV
from ademxapp.weights.parameters import parameter_shapes, start_afresh

SEGMENTATION, CLASSIFICATION = "demo_rna-a1-w0.04_cls6_s8", "x_rna-b1-w0.04_cls5"


SYM = calls()
LOG = logging.getLogger("test")


class Batches:
    """Stands in for a Loader: fixed arrays, the same in every epoch."""

    def __init__(self, data, label, batch_size):
        self.data, self.label, self.batch_size = data, label, batch_size
        self.batches, self.late, self.place = len(data) // batch_size, 0, (0, 0)
        self.data_shape, self.label_shape = (batch_size,) + data.shape[1:], (batch_size,) + label.shape[1:]

    def start(self, epoch, batch=0):
        self.place = epoch, batch

    def reset(self):
        self.start(self.place[0] + 1)

    def close(self):
        pass

    def __iter__(self):
        for first in range(self.place[1] * self.batch_size, self.batches * self.batch_size, self.batch_size):
            rows = slice(first, first + self.batch_size)
            yield Batch(self.data[rows], self.label[rows])


def plan(folder, label, optimizer, to_epoch=1, stop_epoch=None, from_epoch=0, fixed=False, seed=0, **params):
    """A plan as the driver makes it."""
    settings = DriverSettings(model=label, output=str(folder), from_epoch=from_epoch, stop_epoch=stop_epoch or to_epoch,
                              seed=seed)
    return Plan(settings, optimizer, {"momentum": 0.9, "learning_rate": 0.1, **params}, fixed_statistics=fixed)


def two_layers():
    hidden = SYM.FullyConnected(SYM.Variable("data"), num_hidden=6, name="hidden")
    scores = SYM.FullyConnected(SYM.Activation(hidden, act_type="relu", name="relu"), num_hidden=3, name="linear3")
    return SYM.SoftmaxOutput(scores, name="softmax")


def same_bits(found, wanted):
    assert set(found.all) == set(wanted.all)
    for name, value in wanted.all.items():
        np.testing.assert_array_equal(found.all[name], value, err_msg=name)


def tasks():
    """{name: (symbol, shape of labels of one image, classes, optimiser, rescale_grad of k devices with n images)}"""
    fixed = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
    return {
        "segmentation": (segmentation_symbol(SEGMENTATION, fixed, loss="ohem"), (36,), 6, "sgd", lambda k, n: 1 / k),
        "classification": (classification_symbol(CLASSIFICATION, fixed), (), 5, NESTEROV, lambda k, n: 1 / n),
    }


TASKS = tasks()


def random_batches(task, count, batch_size):
    rng, (_, label_shape, classes, *_) = np.random.default_rng(0), TASKS[task]
    data = rng.normal(size=(count, 3, 48, 48)).astype(np.float32)
    label = rng.integers(0, classes, (count,) + label_shape).astype(np.float32)
    if label_shape:
        label[rng.random(label.shape) < 0.2] = 255
    return Batches(data, label, batch_size)


def batches(count=120, size=4):
    rng = np.random.default_rng(0)
    return Batches(rng.normal(size=(count, 5)).astype(np.float32), (np.arange(count) % 3).astype(np.float32), size)


def run(folder, loader, lr=0.01, epochs=1, start=None, snapshot=None, validate=None, from_epoch=0, about=(),
        **settings):
    symbol = two_layers()
    start = start or start_afresh(parameter_shapes(symbol, data=(4, 5)), 1)
    settings = DriverSettings(model="x", output=str(folder), from_epoch=from_epoch, stop_epoch=epochs, **settings)
    how = Plan(settings, "sgd", {"learning_rate": lr, "momentum": 0.9, "rescale_grad": 0.25},
               about=dict(about))
    return fit(how, engine.load(), symbol, loader, start, TrainingMetric(3), engine.load().devices(cpus=1), LOG,
               snapshot, validate)


SHARDS, IMAGES, BATCH = 2, 12, 6


def network(task):
    """Symbol without dropout, classes, optimiser, rescale_grad for two shards, whether BN's statistics are fixed."""
    if task == "classification":
        return classification_symbol(CLASSIFICATION), 5, NESTEROV, 1 / BATCH, False
    symbol, _, classes, optimizer, rescale = TASKS[task]
    text = symbol.tojson().replace('"p": "0.3"', '"p": "0.0"').replace('"p": "0.5"', '"p": "0.0"')
    return SYM.load_json(text), classes, optimizer, rescale(SHARDS, BATCH), True


def shard(task, rank, count):
    """The batches of one of `count` workers: its consecutive part of every batch."""
    whole, size = random_batches(task, IMAGES, BATCH), BATCH // count
    rows = [row for row in range(IMAGES) if row % BATCH // size == rank]
    return Batches(whole.data[rows], whole.label[rows], size)


def start(task):
    return start_afresh(parameter_shapes(network(task)[0], data=(1, 3, 48, 48)), 1)


def train(folder, task, batches, devices, workers=None):
    """An epoch of a worker, or of all of them in one process: the final parameters."""
    symbol, classes, optimizer, rescale, fixed = network(task)
    how = plan(folder, task, optimizer, fixed=fixed, wd=5e-4, rescale_grad=rescale, learning_rate=0.02)
    metric = TrainingMetric(classes, None if task == "classification" else 255)
    return fit(how, engine.load(), symbol, batches, start(task), metric, engine.load().devices(cpus=devices), LOG,
               workers=workers)
