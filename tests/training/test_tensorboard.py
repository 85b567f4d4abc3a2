"""What --tensorboard shows of a run."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from worlds import write_data

from iclass import ilsvrc
from issegm import voc

pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: pip install 'ademxapp[tensorboard]'")

CLS, SEG = "tiny_rna-b1-w0.02_cls2", "demo_rna-b1-w0.02_cls6_s8"
TRAIN = {
    CLS: f"--model {CLS} --crop-size 32 --batch-images 4 --to-epoch 2 --cpus 1 --val-every 1 --test-scales 32",
    SEG: f"--model {SEG} --crop-size 60 --batch-images 4 --to-epoch 2 --cpus 1 --origin-size 64 --base-lr 1e-6 "
         "--val-every 1 --test-scales 48",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(folder):
    """{(tag, step): value} of all event files: numbers, and sizes of pictures."""
    from tensorboardX.proto.event_pb2 import Event
    found = {}
    for path in sorted(Path(folder).glob("events.*")):
        data = path.read_bytes()
        while data:  # uint64 length, its checksum, the message, its checksum
            length = int.from_bytes(data[:8], "little")
            event, data = Event.FromString(data[12:12 + length]), data[16 + length:]
            for value in event.summary.value:
                picture = value.WhichOneof("value") == "image"
                found[value.tag, event.step] = (value.image.height, value.image.width) if picture else (
                    value.simple_value)
    return found


@pytest.mark.parametrize("label, program, score", [(CLS, ilsvrc, "top1_accuracy"), (SEG, voc, "mean_iou")])
def test_reports_scores_and_pictures_are_shown(world, label, program, score):
    program.main([*TRAIN[label].split(), "--tensorboard", "board"])
    found = shown(world / "board" / label)
    reports = [json.loads(line) for line in (world / "output" / f"{label}.jsonl").read_text().splitlines()]
    batches = max(report["batch"] for report in reports)
    for report in reports:
        step = (report["epoch"] - 1) * batches + report["batch"]
        for name in ("loss", "accuracy", "lr", "images_per_s"):
            np.testing.assert_allclose(found[f"training/{name}", step], report[name], rtol=1e-6)
    rows = [json.loads(line) for line in (world / "output" / f"{label}_val.jsonl").read_text().splitlines()]
    for row in rows:
        np.testing.assert_allclose(found[f"validation/{score}", row["epoch"] * batches], row[score], rtol=1e-6)
        height, width = found["validation/images", row["epoch"] * batches]
        assert height > 100 and width > 300
    assert len(rows) == 2 and not any("batch" in tag for tag, _ in found if tag != "training/images_per_s")


def test_without_tensorboardx_one_line_says_what_to_install(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"--tensorboard needs tensorboardX .*: pip install .ademxapp"):
        ilsvrc.main([*TRAIN[CLS].split(), "--tensorboard", "board"])
    assert not list((world / "output").glob("*.params"))
