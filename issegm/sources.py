"""Score maps of an earlier test, as a source beside networks (`issegm.segmenter.Segmenter`)."""
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp import driver
from ademxapp.data.lists import Sample
from ademxapp.data.resize import size_of
from ademxapp.errors import UsageError
from ademxapp.evaluation.dense import ScoreMap
from ademxapp.evaluation.score_files import read_scores
from ademxapp.files import PART
from issegm.outputs import score_name
from issegm.segmenter import Segmenter


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
