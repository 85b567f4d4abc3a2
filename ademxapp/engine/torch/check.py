"""Whether a card computes what the CPU does: Model A1, trained a little on both."""
from typing import Dict

import numpy as np
import torch

from ademxapp.engine.torch.module import Module
from ademxapp.engine.torch.runtime import Device, devices
from ademxapp.symbol import SymbolOptions, segmentation_symbol
from ademxapp.symbol.recorder import Symbol, load_json
from ademxapp.weights.parameters import Parameters, parameter_shapes, start_afresh

SHAPE, STEPS, GENTLE = (2, 3, 64, 64), 10, 0.5


def apart_from_cpu(card: Device, width: str = "") -> Dict[str, float]:
    """How far probabilities, a gradient and ten updates of A1 on the card are from the CPU's here, without TF32.

    `width` is an ending of the network's name, such as "-w0.02". Weights are GENTLE times a training's first ones, with
    which ten updates multiply rounding: two of the CPU's own ways end 2e-2 apart at a quarter of the width; with these,
    3e-6 at a tenth.
    """
    symbol = segmentation_symbol(f"check_rna-a1{width}_cls21_s8", SymbolOptions(bn_use_global_stats=True),
                                 loss="softmax")
    symbol = load_json(symbol.tojson().replace('"p": "0.3"', '"p": "0.0"').replace('"p": "0.5"', '"p": "0.0"'))
    parameters = start_afresh(parameter_shapes(symbol, data=SHAPE), 0)
    for name, value in parameters.args.items():
        value *= np.float32(GENTLE if name.endswith("_weight") else 1)
    kept, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        cpu, gpu = (_trained(symbol, parameters, device) for device in (*devices(cpus=1), card))
    finally:
        torch.backends.cudnn.allow_tf32 = kept
    return {what: float(np.linalg.norm(gpu[what] - value) / np.linalg.norm(value)) for what, value in cpu.items()}


def _trained(symbol: Symbol, parameters: Parameters, device: Device) -> Dict[str, np.ndarray]:
    rng, found = np.random.default_rng(0), {}
    data, label = rng.normal(size=SHAPE).astype(np.float32), rng.integers(0, 21, (2, 64)).astype(np.float32)
    module = Module(symbol, [device], average_auxs=False)
    module.bind(data.shape, label.shape)
    module.init_params(parameters)
    module.init_optimizer("sgd", {"learning_rate": 1e-4, "momentum": 0.9, "wd": 5e-4})
    for step in range(STEPS):
        module.forward(data, label)
        module.backward()
        module.update()
        if step == 0:
            found["probabilities"] = module.get_outputs()[0]
            found["gradient"] = np.concatenate([one.ravel() for one in module.optimizer_states().values()])
    after = module.get_params().args
    found["change"] = np.concatenate([(after[name] - value).ravel() for name, value in parameters.args.items()])
    return found
