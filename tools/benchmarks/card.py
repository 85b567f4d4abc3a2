"""The PyTorch engine on a card, in minutes: Model A1 held to the CPU's numbers, then speed and memory at full width.

Nothing is installed or downloaded. What is most wanted comes first; after each measurement the JSON is written anew,
with what was not measured yet under "left". Speeds are those of the programs: a batch comes from the processors' memory
and a test's probabilities go back there; float32 is TF32 in convolutions, PyTorch's default. Reading wants records of a
list of small images (45 MB suffice): `python tools/pack.py LIST --root DIR --out data/card --shorter-side 256`.
"""
import gc
import json
import os
import sys
import time
from contextlib import contextmanager, nullcontext
from itertools import repeat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ademxapp import engine
from ademxapp.cli import number
from ademxapp.data.loader import Loader
from ademxapp.data.records import read_records
from ademxapp.engine import Device
from ademxapp.files import write_json
from ademxapp.flags import flag
from ademxapp.machine import processors
from ademxapp.paper import read_table
from ademxapp.symbol import SymbolOptions, classification_symbol, network, segmentation_symbol
from ademxapp.weights.parameters import parameter_shapes, start_afresh
from iclass.datasets import TrainImages

FIXED = SymbolOptions(bn_use_global_stats=True)
TUNED = SymbolOptions(bn_use_global_stats=True, lr_type="alex")
LIMIT = 1e-3  # apart from the CPU
CLASSES, TUNED_CROP, READ_CROP = 1000, 504, 224
READING_TIMES = 5  # as many seconds as without reading, which comes in bursts
COMPILING_SECONDS = 120  # a network that is compiled is not begun with less time left
Arrays = Tuple[np.ndarray, np.ndarray]


class Job(NamedTuple):
    """What is measured: "testing" or "training" of a classifier, or "tuning" of a segmenter with that head."""

    kind: str
    network: str
    head: Optional[str] = None
    dtype: str = "float32"
    compiled: bool = False
    read: bool = False  # the batches of a training are read from the records meanwhile


class Scale(NamedTuple):
    """How much is computed: a suffix of the networks, images in a batch, their side (else the network's), seconds."""

    width: str
    images: Dict[str, int]
    side: Optional[int]
    seconds: float


FULL = Scale("", {"testing": 32, "training": 64, "tuning": 4}, None, 1.0)
REHEARSAL = Scale("-w0.02", {"testing": 2, "training": 2, "tuning": 1}, 112, 0.01)


def run(gpus: int = flag("the card", 0, type=number(int, 0), metavar="N"),
        records: str = flag("of images for classification, packed by tools/pack.py; without them, reading is not "
                            "measured", os.path.join("data", "card"), metavar="PREFIX"),
        minutes: float = flag("after which nothing more is begun", 7, type=number(float, 0)),
        rehearse: bool = flag("let the CPU stand in for the card, with narrow networks and small images: tries the "
                              "command, and measures nothing", False),
        output: Optional[str] = flag("write there, after each measurement, instead of printing", metavar="FILE")
        ) -> int:
    """Check, measure, and write what was found as JSON; ValueError where the card's numbers are not the CPU's."""
    import torch

    from ademxapp.engine.torch.check import apart_from_cpu
    end, runs, scale = time.monotonic() + 60 * minutes, engine.load("torch"), REHEARSAL if rehearse else FULL
    device, = runs.devices(cpus=1) if rehearse else runs.devices([gpus])
    has_records = os.path.exists(f"{records}.rec")
    left = jobs(has_records)
    found: Dict[str, Any] = {
        "card": "CPU" if rehearse else torch.cuda.get_device_name(gpus), "rehearsed": rehearse, **runs.versions(),
        "cuda": torch.version.cuda, "processors": processors(), "apart": apart_from_cpu(device, scale.width),
        "rows": []}
    found["reading"] = reading(records, scale) if has_records else f"not measured: there is no {records}.rec"

    def tell(news: str) -> None:
        print(news, file=sys.stderr, flush=True)
        found["left"] = [job._asdict() for job in left]
        if output:
            write_json(output, found)

    tell(f"apart from the CPU: {found['apart']}; reading: {found['reading']}")
    for job in list(left):
        if time.monotonic() <= end - COMPILING_SECONDS * job.compiled:
            found["rows"].append({**job._asdict(), **outcome(job, device, scale, records)})
            left.remove(job)
            tell(str(found["rows"][-1]))
    if not output:
        print(json.dumps(found, indent=1))
    if max(found["apart"].values()) > LIMIT:
        raise ValueError(f"the card's numbers are not the CPU's: {found['apart']}, wanted at most {LIMIT:g}")
    return 0


def jobs(has_records: bool = False) -> List[Job]:
    """In the order of what is wanted: Model A1 in every way, then the rows of Tables 1 and 2, float32 first."""
    first = [Job("tuning", "rna-a1", "2conv"), Job("training", "rna-a1"), Job("testing", "rna-a1")]
    testing, training = ([Job(kind, row.network) for row in read_table("table1").rows if row.network]
                         for kind in ("testing", "training"))
    tuning = [Job("tuning", row.network, row.head) for row in read_table("table2").rows if row.network]
    types = ("float32", "bfloat16")
    wanted = [job._replace(dtype=dtype) for dtype in types for job in first]
    wanted += [Job("training", "rna-a1", dtype=dtype, read=True) for dtype in types if has_records]
    wanted += [job._replace(dtype=dtype, compiled=True) for job in first[:2] for dtype in types[::-1]]
    wanted += [job._replace(dtype=dtype) for dtype in types for job in (*testing, *tuning, *training)]
    wanted += [first[2]._replace(dtype=dtype, compiled=True) for dtype in types]
    return list(dict.fromkeys(wanted))


def outcome(job: Job, device: Device, scale: Scale, records: str) -> Dict[str, Any]:
    """What was `measured` of a job, or the error; a classifier's batch is halved until it fits into the memory."""
    import torch
    lacks, images = engine.load("torch").ERRORS, scale.images[job.kind]
    while True:
        try:
            return {"images": images, **measured(job, images, device, scale, records)}
        except Exception as error:  # whatever this one met, the next is measured
            said = (str(error) or type(error).__name__).splitlines()[0]
            small = isinstance(error, lacks) or isinstance(error.__context__, lacks)
        finally:
            if job.compiled:
                torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()
        if not small or images == 1 or job.kind == "tuning":
            return {"images": images, "error": said}
        images //= 2


def reading(records: str, scale: Scale) -> Dict[str, float]:
    """Images per second that all processors read for training, with nothing else to do, and how many they are of."""
    with _read(records, scale.images["training"]) as batches:
        rate = _per_second(lambda: next(batches), READING_TIMES * scale.seconds)
    return {"images_per_s": scale.images["training"] * rate, "images": len(read_records(records, CLASSES))}


@contextmanager
def _read(records: str, images: int) -> Iterator[Iterator[Arrays]]:
    """Within, batches without end of images from the records."""
    def endless() -> Iterator[Arrays]:
        while True:
            for batch in loader:
                yield batch.data, batch.label
            loader.reset()

    dataset = TrainImages(read_records(records, CLASSES), READ_CROP, network("rna-a1").input)
    with Loader(dataset, images, shuffle=True, workers=processors(), kind="process") as loader:
        yield endless()


def measured(job: Job, images: int, device: Device, scale: Scale, records: str) -> Dict[str, float]:
    """Images per second and, of trainings on a card, the most memory in GiB."""
    import torch
    on_card, name, tuning = device.device_type == "gpu", f"{job.network}{scale.width}", job.kind == "tuning"
    settings = network(name).input
    side = READ_CROP if job.read else scale.side or {
        "tuning": TUNED_CROP, "testing": settings.test_crop, "training": settings.train_crop}[job.kind]
    symbol = (segmentation_symbol(f"card_{name}_cls21_s8", TUNED, job.head, "softmax") if tuning else
              classification_symbol(f"card_{name}_cls{CLASSES}", FIXED if job.kind == "testing" else SymbolOptions()))
    data = np.random.default_rng(0).standard_normal((images, 3, side, side), np.float32)
    parameters = start_afresh(parameter_shapes(symbol, data=data.shape), 0)
    if on_card:
        torch.cuda.reset_peak_memory_stats(device.device_id)
    if job.kind == "testing":
        predict = engine.load("torch").Predictor(symbol, parameters, [device], job.dtype, job.compiled)
        return {"images_per_s": images * _per_second(lambda: predict(data), scale.seconds)}
    label = np.zeros((images, (side // 8) ** 2) if tuning else (images,), np.float32)
    module = engine.load("torch").Module(symbol, [device], job.kind == "training", None, job.dtype, job.compiled)
    module.bind(data.shape, label.shape)
    module.init_params(parameters)
    module.init_optimizer("sgd", {"learning_rate": 1e-4, "momentum": 0.9, "wd": 5e-4})
    with _read(records, images) if job.read else nullcontext(repeat((data, label))) as batches:
        def step() -> None:
            module.forward(*next(batches))
            module.backward()
            module.update()
            if on_card:
                torch.cuda.synchronize(device.device_id)

        rate = images * _per_second(step, READING_TIMES * scale.seconds if job.read else scale.seconds)
    memory = {"memory": torch.cuda.max_memory_allocated(device.device_id) / 2 ** 30} if on_card else {}
    return {"images_per_s": rate, **memory}


def _per_second(call: Callable[[], object], seconds: float) -> float:
    """How often a second, in so many seconds at least, after two calls that do not count."""
    call(), call()
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        call()
        count += 1
    return count / (time.monotonic() - begin)
