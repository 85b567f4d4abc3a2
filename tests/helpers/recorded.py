"""What runs record of their arguments: in a snapshot's state.json, in a test's result.json."""
import importlib
import json
import logging
import shlex
from pathlib import Path
from unittest import mock

from random_weights import make_weights, random_weights
from worlds import write_data

CLS, SEG = "tiny_rna-b1-w0.02_cls2", "demo_rna-b1-w0.02_cls6_s8"
PROGRAMS = {"ilsvrc": "iclass.ilsvrc", "voc": "issegm.voc", "msctest": "tools.msctest"}
CASES = {  # name: (program, arguments, folder of result.json below output/; None for a training)
    "train cls": ("ilsvrc", f"--model {CLS} --crop-size 32 --batch-images 4 --to-epoch 2 --cpus 1", None),
    "train cls, all": (
        "ilsvrc", f"--model {CLS}_tag --dataset-file data/tiny.yaml --list ./data/tiny/some.lst --data-root data/tiny/ "
        "--crop-area-range 0.25,1 --batch-images 4 --lr-type step --lr-steps 1,2 --base-lr 0.03 --weight-decay 2e-4 "
        "--to-epoch 3 --stop-epoch 2 --seed 7 --test-3crops --test-flipping --test-scales 32,40 --val-every 2 "
        "--backward-do-mirror --no-choose-interp-method --prefetcher process --prefetch-threads 2 --kvstore local "
        "--cpus 2 --check-start 2 --check-step 3 --keep 3 --snapshot-minutes 5 --stall-minutes 9", None),
    "train cls, its own weights": ("ilsvrc", f"--weights weights/{CLS}_ep-0003.params --to-epoch 5 --batch-images 8 "
                                   "--cpus 1 --lr-type linear", None),
    "train seg": ("voc", f"--model {SEG} --weights weights/{CLS}_ep-0003.params --to-epoch 2 --batch-images 4 --cpus 1",
                  None),
    "train seg, all": (
        "voc", f"--model {SEG} --weights ./weights/{CLS}_ep-0003.params --crop-size 60 --origin-size 64 --split val "
        "--scale-rate-range 0.5,2 --cache-images 0 --head 1conv --loss softmax --batch-images 4 --to-epoch 9 "
        "--from-epoch 2 --lr-type linear --base-lr 0.001 --val-every 3 --test-scales 48 --test-steps 2 --window 64 "
        "--val-list data/demo/val.lst --cpus 1 --tag x --log-file train.log", None),
    "val cls": ("ilsvrc", f"--phase val --weights weights/{CLS}_ep-0003.params --split val --test-scales 32 --cpus 1 "
                "--output output", f"{CLS}_ep-0003"),
    "test cls, all": (
        "ilsvrc", f"--phase test --weights weights/{CLS}_ep-0003.params --also ./weights/{CLS}_b_ep-0001.params "
        "--split val --list ./data/tiny/some.lst --data-root data/tiny --test-scales 40,36 --test-10crops "
        "--test-crop-size 32 --no-choose-interp-method --batch-images 3 --prefetch-threads 2 --dtype float32 --tag all "
        "--output output --devkit kit --dataset tiny --cpus 2", f"{CLS}_ep-0003_val_all".replace("_val", "")),
    "val cls, default scales": ("ilsvrc", f"--phase val --weights weights/{CLS}_b_ep-0001.params --cpus 1 "
                                "--output output --test-3crops --test-flipping", f"{CLS}_b_ep-0001_train"),
    "val seg": ("voc", f"--phase val --weights ./weights/{SEG}_ep-0004.params --split val --test-scales 48 --cpus 1 "
                "--output output", f"{SEG}_ep-0004"),
    "val seg, all": (
        "voc", f"--phase val --weights weights/{SEG}_ep-0004.params --split val --test-scales 48,36 --test-flipping "
        "--test-steps 2 --window 64 --save-predictions --shard 1/2 --batch-images 2 --head 1conv --tag all --cpus 1 "
        "--output output --overwrite --base-lr 0.5 --crop-size 99", f"{SEG}_ep-0004_all_shard-1-of-2"),
    "test seg, crf": (
        "voc", f"--phase test --weights weights/{SEG}_ep-0004.params --split train --test-scales 48 --crf "
        "--crf-iterations 3 --crf-bilateral-width 20 --crf-workers 1 --no-save-results --cpus 1 --output output",
        f"{SEG}_ep-0004_train"),
    "msctest": ("msctest", f"--weights ./weights/{SEG}_ep-0004.params --predictions output/{SEG}_ep-0004_maps "
                "--weights-of 2,1 --test-scales 48,36 --test-flipping --cpus 1 --output output", f"{SEG}_ep-0004_msc"),
    "msctest of predictions": ("msctest", f"--predictions output/{SEG}_ep-0004_maps --crf --list ./data/demo/val.lst "
                               "--crf-gaussian-weight 2 --no-save-results --tag y", f"{SEG}_ep-0004_maps_msc_y"),
    "msctest --score": ("msctest", f"--score output/{SEG}_ep-0004 --output output/scored", "scored"),
    "msctest --score of a dataset": ("msctest", f"--score output/{SEG}_ep-0004 --output output/of --dataset demo",
                                     "of"),
}


def make_world():
    """Data, lists and weights in the working folder."""
    write_data(".")
    lines = [f"{index}\t{index % 2}\ttrain/{'cat' if index % 2 == 0 else 'dog'}/{index // 2}.png\n"
             for index in range(8)]
    Path("data/tiny/some.lst").write_text("".join(lines))
    Path("data/tiny.yaml").write_text("class_names: [cat, dog]\n")
    Path("weights").mkdir()
    for label in (f"{CLS}_ep-0003", f"{CLS}_b_ep-0001"):
        make_weights(f"weights/{label}.params", label)
    random_weights(f"weights/{SEG}_ep-0004.params")
    run("voc", f"--phase val --weights weights/{SEG}_ep-0004.params --split val --test-scales 48 --cpus 1 "
        "--output output --save-predictions --tag maps")


def run(program, arguments):
    """A program in this process."""
    importlib.import_module(PROGRAMS[program]).main(shlex.split(arguments))
    for handler in list(logging.getLogger("ademxapp").handlers):
        handler.close()


def recorded(program, arguments, result):
    """What a run records of its arguments; a training stops before its first batch."""
    if result is not None:
        run(program, arguments)
        return json.loads(Path("output", result, "result.json").read_text())["arguments"]
    with mock.patch("ademxapp.driver.training.fit") as fit:
        run(program, arguments)
    return json.loads(json.dumps(fit.call_args[0][0].state["arguments"]))
