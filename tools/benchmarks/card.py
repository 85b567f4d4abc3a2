"""The PyTorch engine on a card, in minutes: Model A1 held to the CPU's numbers, then speed and memory at full width.

Nothing is read but the paper's Tables 1 and 2, for the names of the networks. What is most wanted comes first; what the
time does not suffice for is told.
"""
import json
import logging
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.cli import Parser, number
from ademxapp.paper import read_table
from ademxapp.symbol import SymbolOptions, classification_symbol, network, segmentation_symbol
from ademxapp.text_tables import emit
from ademxapp.weights.parameters import parameter_shapes, start_afresh

if TYPE_CHECKING:
    from ademxapp.engine import Device, Symbol
    from ademxapp.weights.parameters import Parameters

FIXED = SymbolOptions(bn_use_global_stats=True)
TUNED = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
CHECKED, LIMIT, STEPS = (2, 3, 64, 64), 1e-3, 10
TESTED, TRAINED = 32, 64  # images in a batch of a classifier
TUNED_IMAGES, TUNED_CROP = 4, 504  # of a device in the fine-tuning of Table 2, and their side
LEAST_SECONDS = 2.0
LOG = logging.getLogger("ademxapp")


class Job(NamedTuple):
    """What is measured: "testing" or "training" of a classifier, or "tuning" of a segmenter with that head."""

    kind: str
    network: str
    head: Optional[str] = None
    dtype: str = "float32"
    compiled: bool = False


def add_arguments(command: Parser) -> None:
    """The arguments of `card`."""
    command.add_argument("--gpus", type=number(int, 0), default=0, metavar="N", help="the card")
    command.add_argument("--minutes", type=number(float, 0), default=7, help="after which nothing more is begun")
    command.add_argument("--output", metavar="FILE", help="write there instead of printing")


def run(gpus: int, minutes: float, output: Optional[str]) -> int:
    """Check, measure, and write what was found as JSON; ValueError where the card's numbers are not the CPU's."""
    import torch
    end, torch_engine = time.monotonic() + 60 * minutes, engine.load("torch")
    device, = torch_engine.devices([gpus])
    found: Dict[str, Any] = {"card": torch.cuda.get_device_name(gpus), "torch": torch.__version__,
                             "apart": apart_from_cpu(device), "rows": [], "left": []}
    for job in jobs():
        if time.monotonic() > end:
            found["left"].append(job._asdict())
            continue
        try:
            found["rows"].append({**job._asdict(), **measured(job, device)})
        except (ValueError, *torch_engine.ERRORS) as error:  # a card that is too small for this one
            found["rows"].append({**job._asdict(), "error": str(error).splitlines()[0]})
        torch.cuda.empty_cache()
    emit(json.dumps(found, indent=1) + "\n", output)
    if max(found["apart"].values()) > LIMIT:
        raise ValueError(f"the card's numbers are not the CPU's: {found['apart']}, wanted at most {LIMIT:g}")
    return 0


def jobs() -> Iterator[Job]:
    """In the order of what is wanted: Model A1 in every way, then the rows of Tables 1 and 2 in both types."""
    first = [Job("tuning", "rna-a1", "2conv"), Job("testing", "rna-a1"), Job("training", "rna-a1")]
    rows = [Job("tuning", row.network, row.head) for row in read_table("table2").rows] + [
        Job(kind, row.network) for kind in ("testing", "training") for row in read_table("table1").rows]
    wanted = [job._replace(dtype=dtype, compiled=compiled) for compiled in (False, True)
              for dtype in ("float32", "bfloat16") for job in first]
    wanted += [job._replace(dtype=dtype) for dtype in ("float32", "bfloat16") for job in rows if job.network]
    return iter(dict.fromkeys(wanted))


def apart_from_cpu(card: "Device") -> Dict[str, float]:
    """How far probabilities, a gradient and ten updates of A1 on the card are from the CPU's, without TF32."""
    import torch
    kept = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    symbol = segmentation_symbol("check_rna-a1_cls21_s8_dropout-off", FIXED, loss="softmax")
    parameters = start_afresh(parameter_shapes(symbol, data=CHECKED), 0)
    cpu, gpu = (_trained(symbol, parameters, device) for device in (*engine.load("torch").devices(cpus=1), card))
    torch.backends.cudnn.allow_tf32 = kept
    return {what: float(np.linalg.norm(gpu[what] - value) / np.linalg.norm(value)) for what, value in cpu.items()}


def _trained(symbol: "Symbol", parameters: "Parameters", device: "Device") -> Dict[str, np.ndarray]:
    from ademxapp.symbol.recorder import load_json
    text = symbol.tojson().replace('"p": "0.3"', '"p": "0.0"').replace('"p": "0.5"', '"p": "0.0"')
    rng = np.random.default_rng(0)
    data, label = rng.normal(size=CHECKED).astype(np.float32), rng.integers(0, 21, (2, 64)).astype(np.float32)
    module = _module(load_json(text), device, parameters, data.shape, label.shape, Job("tuning", "rna-a1"))
    found = {}
    for done in range(STEPS):
        _step(module, data, label)
        if done == 0:
            found["probabilities"] = module.get_outputs()[0]
            found["gradient"] = np.concatenate([value.ravel() for value in module.optimizer_states().values()])
    after = module.get_params().args
    found["change"] = np.concatenate([(after[name] - value).ravel() for name, value in parameters.args.items()])
    return found


def measured(job: Job, device: "Device") -> Dict[str, float]:
    """Images per second and, of trainings, the most memory in GiB."""
    import torch
    tuning, testing = job.kind == "tuning", job.kind == "testing"
    settings = network(job.network).input
    side = TUNED_CROP if tuning else settings.test_crop if testing else settings.train_crop
    images = TUNED_IMAGES if tuning else TESTED if testing else TRAINED
    symbol = (segmentation_symbol(f"card_{job.network}_cls21_s8", TUNED, job.head, "softmax") if tuning else
              classification_symbol(f"card_{job.network}_cls1000", FIXED if testing else SymbolOptions()))
    shape = (images, 3, side, side)
    parameters = start_afresh(parameter_shapes(symbol, data=shape), 0)
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    torch.cuda.reset_peak_memory_stats(device.device_id)
    if testing:
        predict = engine.load("torch").Predictor(symbol, parameters, [device], job.dtype, job.compiled)
        return {"images_per_s": images * _per_second(lambda: predict(data))}
    label = np.zeros((images, (side // 8) ** 2) if tuning else (images,), np.float32)
    module = _module(symbol, device, parameters, shape, label.shape, job)
    rate = images * _per_second(lambda: (_step(module, data, label), torch.cuda.synchronize()))
    return {"images_per_s": rate, "memory": torch.cuda.max_memory_allocated(device.device_id) / 2 ** 30}


def _module(symbol: "Symbol", device: "Device", parameters: "Parameters", shape: Tuple[int, ...],
            labels: Tuple[int, ...], job: Job) -> Any:
    module = engine.load("torch").Module(symbol, [device], job.kind == "training", LOG, None, job.dtype, job.compiled)
    module.bind(shape, labels)
    module.init_params(parameters)
    module.init_optimizer("sgd", {"learning_rate": 1e-4, "momentum": 0.9, "wd": 5e-4})
    return module


def _step(module: Any, data: np.ndarray, label: np.ndarray) -> None:
    module.forward(data, label)
    module.backward()
    module.update()


def _per_second(call: Any) -> float:
    """How often a second, of two seconds at least, after two calls that do not count."""
    call(), call()
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < LEAST_SECONDS:
        call()
        count += 1
    return count / (time.monotonic() - begin)
