"""The whole path on a drawn dataset, within minutes: recipes/demo.yaml.

    python tools/demo.py
    python tools/demo.py --output output/demo --seed 1
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.demo")

import os
import time
from typing import Optional, Sequence

import numpy as np

from ademxapp.cli import make_parser
from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.files import read_json, write_text
from ademxapp.training.progress import clock

from . import reproduce

CLASSIFIER, SEGMENTER = "demo-cls_rna-a1-w0.125_cls5_ep-0010", "demo_rna-a1-w0.125_cls6_s8_ep-0022"  # of the recipe


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the recipe, and say what came out."""
    parser = make_parser(__doc__)
    parser.add_argument("--output", default="output/demo", metavar="DIR", help="folder of what is made")
    parser.add_argument("--seed", default="0", help="of the pictures and of the training")
    args, start = parser.parse_args(argv), time.monotonic()
    status = reproduce.main(["run", "recipes/demo.yaml", "--output", args.output, "--set", f"seed={args.seed}"])
    if not status:
        text = summary(args.output, time.monotonic() - start)
        write_text(os.path.join(args.output, "summary.txt"), text)
        print(f"\n{text}", end="")
    return status


def summary(output: str, seconds: float) -> str:
    """What came out, and where it is."""
    classification, segmentation = results = [
        read_json(os.path.join(output, name, "result.json")) for name in (CLASSIFIER, SEGMENTER)]
    frequent_acc, frequent_iou = most_frequent_class_scores(np.array(segmentation["confusion"]))
    classes = len(segmentation["class_iou"]) - 1  # patches show one of each class but the background, as often
    scores = (("classification", "top-1 accuracy", 100 - classification["top1_error"], 100 / classes),
              ("segmentation", "mean IoU", segmentation["mean_iou"], frequent_iou),
              ("", "pixel accuracy", segmentation["pixel_acc"], frequent_acc))
    lines = [f"{task:16} {name:14} {score:5.1f} %   (the most frequent class: {constant:.1f} %)"
             for task, name, score, constant in scores]
    folder, curves = os.path.join(output, SEGMENTER), [os.path.join(output, result["label"]) for result in results]
    return "\n".join([
        f"== Done in {clock(seconds)}, tested on {classification['images']} patches and {segmentation['images']} "
        "scenes not trained on\n", *lines, "", f"{'pictures':16} {os.path.join(output, 'sheet.png')}",
        f"{'':16} {folder}", f"{'curves':16} {curves[0]}.png, {curves[1]}.png", ""])
