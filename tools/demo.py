"""The whole path on a drawn dataset, within minutes: draw, train to classify, fine-tune to segment, test, look.

    python tools/demo.py
    python tools/demo.py --output output/demo --seed 1
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.demo")

import json
import os
import shlex
import subprocess
import sys
import time

import numpy as np

from ademxapp.cli import make_parser
from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.files import write_text
from ademxapp.training.progress import clock

NETWORK = "rna-a1-w0.125"
CLASSIFY, SEGMENT = f"demo-cls_{NETWORK}_cls5", f"demo_{NETWORK}_cls6_s8"
CLASSIFY_EPOCHS, SEGMENT_EPOCHS = 10, 22
SCENE_SIDE = "128"  # longer side of a scene: its objects are then about as large as those in the patches


def main(argv=None):
    """Run the stages in turn, each a command that a user could type, and say what came out."""
    parser = make_parser(__doc__)
    parser.add_argument("--output", default="output/demo", metavar="DIR", help="folder of what is made")
    parser.add_argument("--seed", default="0", help="of the pictures and of the training")
    args = parser.parse_args(argv)
    start = time.monotonic()
    for title, command in stages(args.output, args.seed):
        print(f"\n== {title}\n$ python {shlex.join(command)}", flush=True)
        status = subprocess.run([sys.executable] + command).returncode
        if status:
            return status
    text = summary(args.output, time.monotonic() - start)
    write_text(os.path.join(args.output, "summary.txt"), text)
    print(f"\n{text}", end="")
    return 0


def stages(output, seed):
    """`(title, arguments of python)` of every stage."""
    data = os.path.join(output, "data")
    lists = {name: ["--data-root", data, "--seed", seed, "--output", output, "--list",
                    os.path.join(data, "lists", name, "{}.lst")] for name in ("demo-cls", "demo")}

    def samples(name, split):
        return [part.format(split) for part in lists[name]] + ["--split", split, "--prefetch-threads", "2"]

    classifier = os.path.join(output, f"{CLASSIFY}_ep-{CLASSIFY_EPOCHS:04d}.params")
    segmenter = os.path.join(output, f"{SEGMENT}_ep-{SEGMENT_EPOCHS:04d}.params")
    training = ["--lr-type", "linear", "--check-start", "100"]
    yield "Draw scenes with labels, and patches of single objects", [
        "tools/prepare.py", "demo", "--root", data, "--out", os.path.join(data, "lists"), "--seed", seed]
    yield "Train a narrow Model A1 to classify the patches", [
        "iclass/ilsvrc.py", "--phase", "train", "--model", CLASSIFY, "--crop-size", "48", "--batch-images", "32",
        "--crop-area-range", "0.5,1", "--base-lr", "0.04", "--to-epoch", str(CLASSIFY_EPOCHS)
    ] + training + samples("demo-cls", "train")
    yield "Test it on patches of other scenes", [
        "iclass/ilsvrc.py", "--phase", "val", "--weights", classifier, "--test-scales", "48", "--overwrite"
    ] + samples("demo-cls", "val")
    yield "Turn it into a segmentation network and fine-tune that, with fixed BN statistics", [
        "issegm/voc.py", "--phase", "train", "--model", SEGMENT, "--weights", classifier, "--crop-size", "96",
        "--origin-size", SCENE_SIDE, "--batch-images", "8", "--base-lr", "0.02", "--to-epoch", str(SEGMENT_EPOCHS)
    ] + training + samples("demo", "train")
    yield "Test it on other scenes", [
        "issegm/voc.py", "--phase", "val", "--weights", segmenter, "--test-scales", SCENE_SIDE, "--test-flipping",
        "--overwrite"] + samples("demo", "val")
    yield "Put images, truths, predictions and differences on a sheet", [
        "tools/report.py", "sheet", segmenter[:-len(".params")], "--out", os.path.join(output, "sheet.png")]


def summary(output, seconds):
    """What came out, and where it is."""
    results = {}
    for label, epochs in ((CLASSIFY, CLASSIFY_EPOCHS), (SEGMENT, SEGMENT_EPOCHS)):
        with open(os.path.join(output, f"{label}_ep-{epochs:04d}", "result.json"), encoding="utf-8") as source:
            results[label] = json.load(source)
    classification, segmentation = results[CLASSIFY], results[SEGMENT]
    frequent_acc, frequent_iou = most_frequent_class_scores(np.array(segmentation["confusion"]))
    classes = len(segmentation["class_iou"]) - 1  # patches show one of each class but the background, as often
    scores = (("classification", "top-1 accuracy", 100 - classification["top1_error"], 100 / classes),
              ("segmentation", "mean IoU", segmentation["mean_iou"], frequent_iou),
              ("", "pixel accuracy", segmentation["pixel_acc"], frequent_acc))
    lines = [f"{task:16} {name:14} {score:5.1f} %   (the most frequent class: {constant:.1f} %)"
             for task, name, score, constant in scores]
    return "\n".join([
        f"== Done in {clock(seconds)}, tested on {classification['images']} patches and {segmentation['images']} "
        "scenes not trained on\n", *lines, "",
        f"{'pictures':16} {os.path.join(output, 'sheet.png')}",
        f"{'':16} {os.path.join(output, f'{SEGMENT}_ep-{SEGMENT_EPOCHS:04d}')}",
        f"{'curves':16} {os.path.join(output, CLASSIFY)}.png, {os.path.join(output, SEGMENT)}.png", ""])
