"""Score maps of an earlier test, as a source beside networks (`issegm.segmenter.Segmenter`)."""
import os
from typing import List, Optional, Sequence, Union

import numpy as np

from ademxapp.data.lists import Sample
from ademxapp.errors import UsageError
from ademxapp.evaluation.dense import ScoreMap
from ademxapp.evaluation.score_files import read_scores
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
    """

    def __init__(self, folder: str, classes: int) -> None:
        base = os.path.join(folder, "scores")
        base = base if os.path.isdir(base) else folder
        if not os.path.isdir(base):
            raise UsageError(f"there is no folder {folder}")
        scales = sorted(name for name in os.listdir(base) if name.startswith("scale-"))
        self._folders, self._classes = [os.path.join(base, name) for name in scales] or [base], classes
        self.maps = len(self._folders)

    def require(self, samples: Sequence[Sample]) -> None:
        """ValueError unless there are score maps of all samples."""
        missing = [path for sample in samples for path in self.paths(sample) if not os.path.isfile(path)]
        if missing:
            raise ValueError(f"there is no {missing[0]}" + (f", and {len(missing) - 1} more" if missing[1:] else "")
                             + f" of {len(samples) * self.maps} score maps: predict with --save-predictions, on the "
                             "same list")

    def paths(self, sample: Sample) -> List[str]:
        """The files of a sample."""
        return [os.path.join(folder, score_name(sample)) for folder in self._folders]

    def prepare(self, sample: Sample, image: np.ndarray) -> List[ScoreMap]:
        """The image's score maps, a list of ScoreMap; OSError or ValueError where a file is missing or not right."""
        return [read_scores(path, image.shape[:2], self._classes)[0] for path in self.paths(sample)]

    def score_maps(self, sample: Sample, image: np.ndarray, prepared: Optional[List[ScoreMap]] = None
                   ) -> List[ScoreMap]:
        """The same; any thread can `prepare` them ahead."""
        return prepared or self.prepare(sample, image)


def stored_weights(folder: str) -> str:
    """The file name of the weights that the score maps below a folder were made with; UsageError if there are none."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".h5"):
                return read_scores(os.path.join(place, name))[1]["weights"]
    raise UsageError(f"there are no score maps in {folder}: issegm/voc.py --save-predictions writes them")


def map_weights(sources: Sequence[Union[StoredScores, Segmenter]], shares: Optional[Sequence[float]] = None
                ) -> Optional[List[float]]:
    """How much each score map counts: `shares` of the sources, divided among their maps.

    None where all count the same.
    """
    shares = shares or [1.0] * len(sources)
    weights = [share / source.maps for source, share in zip(sources, shares) for _ in range(source.maps)]
    return None if len(set(weights)) == 1 else weights
