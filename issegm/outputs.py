"""The files of a test: label images, pictures of what is right, score maps."""
import json
import os
from collections import Counter
from typing import Any, Dict, Sequence

from ademxapp import driver
from ademxapp.data.images import decode_label, read_bytes, stem, write_png
from ademxapp.driver.results import RESULT, UNFINISHED
from ademxapp.evaluation.pictures import correct_picture
from ademxapp.evaluation.score_files import write_scores
from ademxapp.files import digest, write_json
from ademxapp.flags import Settings


class Outputs:
    """What a test writes into its folder, image by image.

    Parameters
    ----------
    folder : str
    record : SegmentationDataset
    labels : bool
        Write label images and, where there is a truth, pictures of what is right.
    network : Network, optional
        Write the score maps that it gives.
    """

    def __init__(self, folder, record, labels=True, network=None):
        self._folder, self._record, self._labels, self._network = folder, record, labels, network
        self._done = set()

    def start(self, samples, made_from, skip_done, log):
        """Take away what the folder has of the samples, unless `skip_done` and it stems from the same (`made_from`)."""
        same = _made_from(self._folder) == json.loads(json.dumps(made_from))
        if not (skip_done and same):
            for path in (path for sample in samples for path in self.paths(sample)):
                if os.path.isfile(path):
                    os.unlink(path)
        if skip_done and not same:
            log.info("--skip-done: there is nothing in %s that stems from these arguments and weights", self._folder)
        write_json(os.path.join(self._folder, UNFINISHED), made_from)
        driver.discard_result(self._folder)

    @property
    def done(self):
        """How many samples' labels were there (int)."""
        return len(self._done)

    def finish(self):
        """There is a result now."""
        os.unlink(os.path.join(self._folder, UNFINISHED))

    def paths(self, sample):
        """The files of a sample."""
        paths = [path for path, _ in self._score_files(sample)]
        if self._labels:
            paths.append(label_path(self._folder, sample))
            if sample.label_image is not None:
                paths.append(self._correct_path(sample))
        return paths

    def labels(self, sample, size):
        """The labels of a sample of (h, w) pixels if all of its files are there, else None."""
        if not self._labels or not all(map(os.path.isfile, self.paths(sample))):
            return None
        self._done.add(sample.image)
        return read_labels(label_path(self._folder, sample), self._record, size)

    def save(self, sample, truth, predicted, score_maps):
        """Write a sample's files: class indices (H, W) that are true (or None) and predicted, and its score maps."""
        for (path, scale), score_map in zip(self._score_files(sample), score_maps):
            settings = self._network.settings(scale, score_map.size)
            write_scores(path, score_map, scale, settings, self._network.weights)
        if self._labels:
            write_png(label_path(self._folder, sample), self._record.to_label_ids(predicted), self._record.palette)
            if truth is not None:
                write_png(self._correct_path(sample), correct_picture(truth, predicted, self._record.classes))

    def _correct_path(self, sample):
        return os.path.join(self._folder, "correct", f"{stem(sample.image)}.png")

    def _score_files(self, sample):
        """(path, scale) of the sample's score maps that are to be written."""
        if self._network is None:
            return []
        scales = self._network.scales
        return [(os.path.join(folder, score_name(sample)), scale)
                for folder, scale in zip(score_folders(self._folder, scales), scales)]


def score_folders(folder, scales):
    """Where a test's score maps lie, for each of its scales: `scores`, or with several `scores/scale-<N>`."""
    base = os.path.join(folder, "scores")
    return [base] if len(scales) == 1 else [os.path.join(base, f"scale-{scale}") for scale in scales]


def score_name(sample):
    """A sample's file below a folder of score maps."""
    return f"{os.path.splitext(sample.image)[0]}.h5"


def label_path(folder, sample):
    """A sample's label image."""
    return os.path.join(folder, f"{stem(sample.image)}.png")


def read_labels(path, record, size):
    """The class indices (H, W) uint8 of a label image that a test wrote; ValueError unless it is of (h, w) pixels."""
    labels = record.to_classes(decode_label(read_bytes(path), path), path)
    if labels.shape != tuple(size):
        raise ValueError(f"{path} has {labels.shape[1]}x{labels.shape[0]} pixels, its image {size[1]}x{size[0]}")
    if labels.max() >= record.classes:
        raise ValueError(f"{path} has pixels without a class of {record.name}: a prediction has one everywhere")
    return labels


def require_distinct_names(samples, scores, labels):
    """ValueError if the results of two images would be one file; there will be score maps, label images or neither."""
    for name_of, written in ((lambda sample: stem(sample.image), labels), (score_name, scores)):
        name, count = Counter(map(name_of, samples)).most_common(1)[0]
        if written and count > 1:
            raise ValueError(f"{count} images of the list are called {name}, and their results would be one file: test "
                             "them with lists and --tags of their own, or with --no-save-results")


def made_from(settings: Settings, weights: Sequence[str]) -> Dict[str, Any]:
    """What a test's files stem from: its arguments, and the contents of its weights (paths)."""
    return {"arguments": settings.arguments(), "weights_sha256": [digest(path) for path in weights]}


def _made_from(folder):
    """What the files in a folder stem from; None where nothing there tells."""
    for name in (UNFINISHED, RESULT):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            try:
                result = driver.read_result(path)
            except ValueError:
                return None
            return {key: result.get(key) for key in ("arguments", "weights_sha256")}
    return None
