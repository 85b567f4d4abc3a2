"""From an image's score maps to its labels: the best classes, or what a CRF makes of the scores."""
from ademxapp.evaluation.crf import crf_label_maps
from ademxapp.evaluation.dense import label_map
from ademxapp.machine import processors
from ademxapp.processes import Processes


class BestClasses:
    """Labels are the best classes of the weighted mean scores, in whichever thread asks for them.

    `count` and `threads` are as of `CrfLabels`.
    """

    count = 1

    def __init__(self, weights=None):
        self._weights, self.threads = weights, processors()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __call__(self, name, score_maps, image):
        """Label maps of an image, a list of (H, W) uint8: here of one."""
        return [label_map(score_maps, self._weights)]


class CrfLabels:
    """Labels are those of a CRF over the weighted mean scores, one map for each of `settings`, in processes.

    Attributes
    ----------
    count : int
        Label maps of an image.
    threads : int
        How many may ask at the same time.
    """

    def __init__(self, settings, processes, weights=None):
        self._settings, self._weights = tuple(settings), weights
        self.count, self.threads = len(self._settings), processes
        self._processes = Processes(crf_label_maps, processes, "--crf-workers")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._processes.close()

    def __call__(self, name, score_maps, image):
        """Label maps of an image, a list of (H, W) uint8; messages call it `name`."""
        try:
            return self._processes("the CRF of " + name, score_maps, self._weights, image, self._settings)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
