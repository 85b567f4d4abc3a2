"""Where an image's score maps come from: networks, or the files of an earlier test."""
import os
from dataclasses import dataclass

from ademxapp import driver
from ademxapp.cli import UsageError
from ademxapp.data.images import decode_rgb
from ademxapp.evaluation.dense import DenseSettings
from ademxapp.evaluation.fitting import WindowChoice
from ademxapp.evaluation.multiscale import Network
from ademxapp.evaluation.score_files import read_scores
from ademxapp.files import PART
from ademxapp.symbol import SymbolOptions, network, output_stride, segmentation_symbol
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact
from issegm.outputs import score_name

CALIBRATION_IMAGES = 16


@dataclass(frozen=True)
class Weights:
    """A network's symbol and parameters from a file, not yet on any device."""

    path: str
    label: object
    head: str
    symbol: object
    parameters: object

    @property
    def stride(self):
        """Pixels between the network's cells."""
        return output_stride(self.label)


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

    def __init__(self, folder, classes):
        base = os.path.join(folder, "scores")
        base = base if os.path.isdir(base) else folder
        if not os.path.isdir(base):
            raise UsageError(f"there is no folder {folder}")
        scales = sorted(name for name in os.listdir(base) if name.startswith("scale-"))
        self._folders, self._classes = [os.path.join(base, name) for name in scales] or [base], classes
        self.maps, self._folder = len(self._folders), folder
        _, record = driver.read_record(folder)
        self.identity = (record or {}).get("identity") or first_score_file(folder)[1].get("identity")

    def require(self, samples):
        """ValueError unless there are score maps of all samples."""
        missing = [path for sample in samples for path in self.paths(sample) if not os.path.isfile(path)]
        if missing:
            raise ValueError(f"there is no {missing[0]}" + (f", and {len(missing) - 1} more" if missing[1:] else "")
                             + f" of {len(samples) * self.maps} score maps: predict with --save-predictions, on the "
                             "same list")

    def fingerprint(self, samples):
        """What tells these score maps from others (str): their test's identity or, of older ones, the files' dates."""
        if self.identity:
            return self.identity
        return repr([(path, os.path.getsize(path), os.path.getmtime(path)) for sample in samples
                     for path in self.paths(sample)])

    def paths(self, sample):
        """The files of a sample."""
        return [os.path.join(folder, score_name(sample)) for folder in self._folders]

    def prepare(self, sample, image):
        """The image's score maps, a list of ScoreMap; OSError or ValueError where a file is missing or not right."""
        return [self._read(path, image.shape[:2]) for path in self.paths(sample)]

    def _read(self, path, size):
        score_map, attributes = read_scores(path, size, self._classes)
        if attributes.get("identity") != self.identity:
            raise ValueError(f"{path} is of another test than {self._folder} holds: test again with --save-predictions "
                             "--overwrite")
        return score_map

    def score_maps(self, sample, image, prepared=None):
        """The same; any thread can `prepare` them ahead."""
        return prepared or self.prepare(sample, image)


def first_score_file(folder):
    """Path and attributes of the first score map below a folder; UsageError if there are none."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".h5") and not name.startswith(PART):
                path = os.path.join(place, name)
                return path, read_scores(path)[1]
    raise UsageError(f"there are no score maps in {folder}: issegm/voc.py --save-predictions writes them")


def load_weights(path, label):
    """`Weights` of a file; ValueError unless they are exactly those of the label's network."""
    parameters = load_parameters(path)
    head = "2conv" if "conv6a_weight" in parameters.args else "1conv"
    symbol, side = test_symbol(label, head), 2 * output_stride(label)
    require_exact(parameters, parameter_shapes(symbol, data=(1, 3, side, side)), path)
    return Weights(path, label, head, symbol, parameters)


def test_symbol(label, head):
    """The network for testing."""
    return segmentation_symbol(label, SymbolOptions(bn_use_global_stats=True), head, "softmax")


def make_network(settings, weights, record, contexts, log, batch=1):
    """The `Network` of `Weights`, tested as the settings say; in --dtype, where they have that."""
    window = WindowChoice(weights.symbol, contexts, batch, weights.stride, settings.window, log.info)
    dense = dense_settings(settings, record, network(weights.label.network).input, weights.stride, batch)

    def find_images():
        return driver.calibration_samples(settings, "segmentation", weights.label.classes, CALIBRATION_IMAGES)

    def run(predictor, samples):
        for sample in samples:
            image = decode_rgb(sample.read()[0], sample.image_path)
            Network(predictor, settings.test_scales, dense, weights.path, window).score_maps(sample, image)

    predictor = driver.make_predictor(settings, weights, contexts, log, find_images, run)
    return Network(predictor, settings.test_scales, dense, weights.path, window)


def dense_settings(settings, record, inputs, stride, batch):
    """How images are tested; `inputs` are the network's."""
    return DenseSettings(inputs.mean, inputs.std, stride, settings.test_steps, settings.test_flipping,
                         not record.same_size, batch, inputs.interpolation)


def windows_chosen(networks):
    """What `result.json` says of windows: {input: their side}, where they were chosen for want of memory."""
    chosen = {f"{width}x{height}": side for one in networks for (height, width), side in one.window.chosen.items()}
    return {"windows_chosen": chosen} if chosen else {}


def map_weights(sources, shares=None):
    """How much each score map counts, a list of float: `shares` of the sources, divided among their maps.

    None where all count the same.
    """
    shares = shares or [1.0] * len(sources)
    weights = [share / source.maps for source, share in zip(sources, shares) for _ in range(source.maps)]
    return None if len(set(weights)) == 1 else weights
