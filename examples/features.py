"""Photographs that look alike: a classification network as the features of images of your own.

    python examples/features.py models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params holiday/*.jpg

Every image becomes a vector, what the network's classifier stands on; the nearest other image is printed for each. The
same vectors, kept in features.npy, serve a classifier of your own (scikit-learn, say). In a clone that is not
installed: PYTHONPATH=.
"""
import sys

import numpy as np

from iclass import Classifier


def main(weights: str, paths: list) -> None:
    """Print each image's nearest neighbour; keep the features, (images, channels) float32, in features.npy."""
    classifier = Classifier.load(weights)
    features = np.stack(classifier.features(paths))
    np.save("features.npy", features)
    directions = features / np.linalg.norm(features, axis=1, keepdims=True)
    alike = directions @ directions.T
    np.fill_diagonal(alike, -1)
    for path, row in zip(paths, alike):
        print(f"{path} looks like {paths[row.argmax()]} ({row.max():.2f})")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
