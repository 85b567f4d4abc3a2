"""What is in a photograph: labels of its pixels, or of the whole.

    python examples/predict.py models/camvid_rna-a1-w0.125_cls11_s8_fine_ep-0028.params street.jpg
    python examples/predict.py models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params dog.jpg cat.jpg

The weights say which they are for, and at which size they were trained. In a clone that is not installed: PYTHONPATH=.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from ademxapp.weights.describe import describe
from iclass import Classifier
from issegm import Segmenter


def segment(weights: str, paths: list) -> None:
    """Print the classes' shares of the pixels; write the classes over the photograph beside this command."""
    segmenter = Segmenter.load(weights)
    for path in paths:
        labels = segmenter.predict(path, flipping=True)  # (H, W) uint8
        shares = np.bincount(labels.ravel(), minlength=len(segmenter.class_names)) / labels.size
        print(path, *(f"{segmenter.class_names[index]} {shares[index]:.0%}" for index in np.argsort(-shares)[:3]))
        Image.fromarray(segmenter.overlay(path, labels)).save(f"{Path(path).stem}_overlay.png")


def classify(weights: str, paths: list) -> None:
    """Print the most probable classes."""
    classifier = Classifier.load(weights)
    for path, probabilities in zip(paths, classifier.predict(paths)):  # (classes,) float32
        best = np.argsort(-probabilities)[:3]
        print(path, *(f"{classifier.class_names[index]} {probabilities[index]:.0%}" for index in best))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    task = segment if describe(sys.argv[1]).task == "segmentation" else classify
    task(sys.argv[1], sys.argv[2:])
