"""What either engine is asked for, in numbers few enough to be kept: see tests/golden/make_engines.py."""
import re
import zlib

import numpy as np
from reference import golden_parameters

from ademxapp.symbol import SymbolOptions, classification_symbol, known_networks, network, recorder, segmentation_symbol
from ademxapp.training.shared import ADAM, NESTEROV, SGD, Schedule
from ademxapp.weights.parameters import INPUTS, Parameters

CLASSES, PROJECTIONS = 5, 32
FIXED = SymbolOptions(bn_use_global_stats=True)
TUNED = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
STEPS = 20
RATES = {SGD: 0.01, NESTEROV: 0.01, ADAM: 0.0003}


def without_dropout(symbol):
    """The same network."""
    return recorder.calls(symbol).load_json(re.sub(r'"p": "0.\d+"', '"p": "0.0"', symbol.tojson()))


def cases():
    """{name: (label, head, loss, options)}: every network as a classifier and, where it can, as a segmenter."""
    found = {}
    for name in known_networks():
        found[name] = f"x_{name}-w0.04_cls{CLASSES}", None, None, TUNED
        if network(name).dense_features:
            found[f"{name}_s8"] = f"x_{name}-w0.04_cls{CLASSES}_s8", "2conv", "ohem", TUNED
    found["rna-a1-2s_s8"] = f"x_rna-a1-2s-w0.04_cls{CLASSES}_s8", "2conv", "ohem", TUNED
    found["rna-a1_s8_1conv"] = f"x_rna-a1-w0.04_cls{CLASSES}_s8", "1conv", "softmax", TUNED
    for style in ("caffe", "full"):
        found[f"rna-a_{style}"] = f"x_rna-a-w0.04_cls{CLASSES}", None, None, SymbolOptions(
            bn_use_global_stats=True, pool_top_infer_style=style)
    return found


def build(label, head, loss, options):
    return without_dropout(classification_symbol(label, options) if head is None else
                           segmentation_symbol(label, options, head, loss))


def inputs(symbol, size, images=2, seed=0):
    """Images, labels that fit the symbol, and golden parameters, gentle enough for networks of any depth."""
    rng = np.random.RandomState(seed)
    data = rng.normal(size=(images, 3, size, size)).astype(np.float32)
    shapes = symbol.infer_shape(data=data.shape)[0]
    shape = dict(zip(symbol.list_arguments(), shapes))["softmax_label"]
    label = rng.randint(0, CLASSES, size=shape).astype(np.float32)
    if len(shape) > 1:
        label[rng.uniform(size=shape) < 0.2] = 255
    args, auxs = golden_parameters(symbol, data=data.shape)
    return data, label, Parameters({key: value for key, value in args.items() if key not in INPUTS}, auxs)


def projected(arrays):
    """Some sums of all the numbers with random signs: their difference is as large as that of the arrays."""
    total = np.zeros(PROJECTIONS)
    for name, array in sorted(arrays.items()):
        rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xffffffff)
        signs = rng.randint(0, 2, size=(PROJECTIONS, array.size)).astype(np.int8) * 2 - 1
        total += signs @ np.asarray(array, np.float64).reshape(-1)
    return total


def started(engine, symbol, data, label, parameters, optimizer="sgd", average=False, devices=1, workers=None, **params):
    """A Module that is ready for updates."""
    module = engine.Module(symbol, engine.devices(cpus=devices), average, workers)
    module.bind(data.shape, label.shape)
    module.init_params(parameters)
    module.init_optimizer(optimizer, {"learning_rate": 1.0, "momentum": 0.9, "rescale_grad": 1.0, **params})
    return module


def step(module, data, label):
    """One update."""
    module.forward(data, label)
    module.backward()
    module.update()


def gradients(engine, symbol, data, label, parameters, **how):
    """{name: gradient} of a batch, and the probabilities. A first momentum is minus the gradient."""
    module = started(engine, symbol, data, label, parameters, wd=0.0, **how)
    step(module, data, label)
    rates = {name: float(value.get("__lr_mult__", 1)) for name, value in symbol.attr_dict().items()}
    return {name: -state / rates.get(name, 1) for name, state in module.optimizer_states().items()
            }, module.get_outputs()[0]


def numbers(engine, name):
    """Probabilities and gradients of a case."""
    symbol = build(*cases()[name])
    size = 107 if name.startswith("inception") else 32 if "cifar" in name else 64
    found, prob = gradients(engine, symbol, *inputs(symbol, size))
    return {"prob": prob.astype(np.float32), "gradient": projected(found).astype(np.float32)}


def trained(engine, optimizer):
    """Losses of 20 updates of A1 with fixed statistics, and what they change, in random sums."""
    symbol, rate = build(f"x_rna-a1-w0.04_cls{CLASSES}_s8", "2conv", "ohem", TUNED), RATES[optimizer]
    data, label, parameters = inputs(symbol, 64, images=6)
    module = started(engine, symbol, data, label, parameters, optimizer, wd=5e-4, learning_rate=rate,
                     lr_scheduler=Schedule("linear", rate, 1, 2 * STEPS))
    losses, flat = [], label.reshape(len(label), -1)
    for _ in range(STEPS):
        step(module, data, label)
        prob = module.get_outputs()[0].reshape(len(label), CLASSES, -1)
        true = np.take_along_axis(prob, np.where(flat == 255, 0, flat).astype(int)[:, None], 1)[:, 0]
        losses.append(-np.log(true[flat != 255]).mean())
    after = module.get_params()
    change = projected({key: after.args[key] - parameters.args[key] for key in parameters.args})
    return {"losses": np.array(losses, np.float32), "change": change.astype(np.float32)}


def normalised(engine):
    """Probabilities of A1 with the batch's statistics, and how one update moves the moving ones."""
    symbol = build(f"x_rna-a1-w0.04_cls{CLASSES}", None, None, SymbolOptions())
    data, label, parameters = inputs(symbol, 128, images=4)
    module = started(engine, symbol, data, label, parameters, average=True)
    step(module, data, label)
    after = module.get_params().auxs
    return {"prob": module.get_outputs()[0], **{kind: projected({
        key: after[key] - value for key, value in parameters.auxs.items() if key.endswith(kind)}).astype(np.float32)
        for kind in ("mean", "var")}}
