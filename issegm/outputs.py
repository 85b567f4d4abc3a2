"""The files of a test: label images, pictures of what is right, score maps; these as a source beside networks."""
import os
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ademxapp import driver
from ademxapp.data.images import decode_label, read_bytes, stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.resize import size_of
from ademxapp.errors import UsageError
from ademxapp.evaluation.dense import ScoreMap
from ademxapp.evaluation.pictures import correct_picture
from ademxapp.evaluation.score_files import read_scores, write_scores
from ademxapp.files import PART
from issegm.datasets import SegmentationDataset
from issegm.segmenter import Segmenter


class Outputs:
    """What a test writes into its folder, image by image.

    Parameters
    ----------
    folder : str
    record : SegmentationDataset
    identity : str
        Of the test; score maps have it.
    labels : bool
        Write label images and, where there is a truth, pictures of what is right.
    network : Segmenter, optional
        Write the score maps that it gives.
    skip_done : bool
        Take the labels of samples all of whose files are there as they are.
    """

    def __init__(self, folder: str, record: SegmentationDataset, identity: str, labels: bool = True,
                 network: Optional[Segmenter] = None, skip_done: bool = False) -> None:
        self._folder, self._record, self._identity = folder, record, identity
        self._labels, self._network, self._skip_done = labels, network, skip_done
        self._done: Set[str] = set()

    @property
    def done(self) -> int:
        """How many samples' labels were there."""
        return len(self._done)

    def paths(self, sample: Sample) -> List[str]:
        """The files of a sample."""
        paths = [path for path, _ in self._score_files(sample)]
        if self._labels:
            paths.append(label_path(self._folder, sample))
            if sample.label_image is not None:
                paths.append(self._correct_path(sample))
        return paths

    def labels(self, sample: Sample, size: Tuple[int, int]) -> Optional[np.ndarray]:
        """The labels of a sample of (h, w) pixels if they are done, else None."""
        if not self._skip_done or not self._labels or not all(map(os.path.isfile, self.paths(sample))):
            return None
        self._done.add(sample.image)
        return read_labels(label_path(self._folder, sample), self._record, size)

    def save(self, sample: Sample, truth: Optional[np.ndarray], predicted: np.ndarray, score_maps: Sequence[ScoreMap]
             ) -> None:
        """Write a sample's files: class indices (H, W) that are true (or None) and predicted, and its score maps."""
        if self._network is not None:
            for (path, scale), score_map in zip(self._score_files(sample), score_maps):
                settings = self._network.settings(scale, score_map.size)
                write_scores(path, score_map, scale, settings, self._network.weights, self._identity)
        if self._labels:
            write_png(label_path(self._folder, sample), self._record.to_label_ids(predicted), self._record.palette)
            if truth is not None:
                write_png(self._correct_path(sample), correct_picture(truth, predicted, self._record.classes))

    def _correct_path(self, sample: Sample) -> str:
        return os.path.join(self._folder, "correct", f"{stem(sample.image)}.png")

    def _score_files(self, sample: Sample) -> List[Tuple[str, int]]:
        """(path, scale) of the sample's score maps that are to be written."""
        if self._network is None:
            return []
        scales = self._network.scales
        return [(os.path.join(folder, score_name(sample)), scale)
                for folder, scale in zip(score_folders(self._folder, scales), scales)]


def score_folders(folder: str, scales: Sequence[int]) -> List[str]:
    """Where a test's score maps lie, for each of its scales: `scores`, or with several `scores/scale-<N>`."""
    base = os.path.join(folder, "scores")
    return [base] if len(scales) == 1 else [os.path.join(base, f"scale-{scale}") for scale in scales]


def score_name(sample: Sample) -> str:
    """A sample's file below a folder of score maps."""
    return f"{os.path.splitext(sample.image)[0]}.h5"


def label_path(folder: str, sample: Sample) -> str:
    """A sample's label image."""
    return os.path.join(folder, f"{stem(sample.image)}.png")


def read_labels(path: str, record: SegmentationDataset, size: Tuple[int, int]) -> np.ndarray:
    """The class indices (H, W) uint8 of a label image that a test wrote; ValueError unless it is of (h, w) pixels."""
    labels = record.to_classes(decode_label(read_bytes(path), path), path)
    if labels.shape != tuple(size):
        raise ValueError(f"{path} has {labels.shape[1]}x{labels.shape[0]} pixels, its image {size[1]}x{size[0]}")
    if labels.max() >= record.classes:
        raise ValueError(f"{path} has pixels without a class of {record.name}: a prediction has one everywhere")
    return labels


def require_distinct_names(samples: Sequence[Sample], scores: bool, labels: bool) -> None:
    """ValueError if the results of two images would be one file; there will be score maps, label images or neither."""
    for name_of, written in ((lambda sample: stem(sample.image), labels), (score_name, scores)):
        name, count = Counter(map(name_of, samples)).most_common(1)[0]
        if written and count > 1:
            raise ValueError(f"{count} images of the list are called {name}, and their results would be one file: test "
                             "them with lists and --tags of their own, or with --no-save-results")


class StoredScores:
    """A source: the score maps that a test kept with --save-predictions.

    Parameters
    ----------
    folder : str
        The test's folder, or `scores` in it.
    classes : int

    Attributes
    ----------
    maps : int
        Score maps of an image.
    identity : str, optional
        Of the test, as its record says or, without one, the first score map; older ones have none.
    """

    def __init__(self, folder: str, classes: int) -> None:
        base = os.path.join(folder, "scores")
        base = base if os.path.isdir(base) else folder
        if not os.path.isdir(base):
            raise UsageError(f"there is no folder {folder}")
        scales = sorted(name for name in os.listdir(base) if name.startswith("scale-"))
        self._folders, self._classes = [os.path.join(base, name) for name in scales] or [base], classes
        self.maps, self._folder = len(self._folders), folder
        _, record = driver.read_record(folder)
        self.identity = (record or {}).get("identity") or first_score_file(folder)[1].get("identity")

    def require(self, samples: Sequence[Sample]) -> None:
        """ValueError unless there are score maps of all samples."""
        missing = [path for sample in samples for path in self.paths(sample) if not os.path.isfile(path)]
        if missing:
            raise ValueError(f"there is no {missing[0]}" + (f", and {len(missing) - 1} more" if missing[1:] else "")
                             + f" of {len(samples) * self.maps} score maps: predict with --save-predictions, on the "
                             "same list")

    def fingerprint(self, samples: Sequence[Sample]) -> str:
        """What tells these score maps from others: their test's identity or, of older ones, the files' dates."""
        if self.identity:
            return self.identity
        return repr([(path, os.path.getsize(path), os.path.getmtime(path)) for sample in samples
                     for path in self.paths(sample)])

    def paths(self, sample: Sample) -> List[str]:
        """The files of a sample."""
        return [os.path.join(folder, score_name(sample)) for folder in self._folders]

    def prepare(self, sample: Sample, image: np.ndarray) -> List[ScoreMap]:
        """The image's score maps, a list of ScoreMap; OSError or ValueError where a file is missing or not right."""
        return [self._read(path, size_of(image)) for path in self.paths(sample)]

    def _read(self, path: str, size: Tuple[int, int]) -> ScoreMap:
        score_map, attributes = read_scores(path, size, self._classes)
        if attributes.get("identity") != self.identity:
            raise ValueError(f"{path} is of another test than {self._folder} holds: test again with --save-predictions "
                             "--overwrite")
        return score_map

    def score_maps(self, sample: Sample, image: np.ndarray, prepared: Optional[List[ScoreMap]] = None
                   ) -> List[ScoreMap]:
        """The same; any thread can `prepare` them ahead."""
        return prepared or self.prepare(sample, image)


def first_score_file(folder: str) -> Tuple[str, Dict[str, Any]]:
    """Path and attributes of the first score map below a folder; UsageError if there are none."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".h5") and not name.startswith(PART):
                path = os.path.join(place, name)
                return path, read_scores(path)[1]
    raise UsageError(f"there are no score maps in {folder}: issegm/voc.py --save-predictions writes them")


def map_weights(sources: Sequence[Union[StoredScores, Segmenter]], shares: Optional[Sequence[float]] = None
                ) -> Optional[List[float]]:
    """How much each score map counts: `shares` of the sources, divided among their maps.

    None where all count the same.
    """
    shares = shares or [1.0] * len(sources)
    weights = [share / source.maps for source, share in zip(sources, shares) for _ in range(source.maps)]
    return None if len(set(weights)) == 1 else weights
