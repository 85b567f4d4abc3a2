"""A classification network with its weights: what the driver tests, and the entrance from Python.

    from iclass import Classifier

    classifier = Classifier.load("models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params")      # or .onnx
    probabilities = classifier.predict("dog.jpg")
    features = classifier.features("dog.jpg")

And what becomes of probabilities: their averages over views, the errors, and files of predictions.
"""
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from ademxapp.data import transforms
from ademxapp.data.lists import Sample
from ademxapp.data.loader import Loader
from ademxapp.data.photographs import Images, each_image, rgb_of
from ademxapp.deploy.onnx_model import OnnxModel
from ademxapp.engine import Predictor, load
from ademxapp.files import write_text
from ademxapp.network import Network, require_finite
from ademxapp.symbol.recorder import read_graph
from ademxapp.weights.description import CLASSIFICATION
from iclass.datasets import ClassificationDataset, TestImages, Views, described_record

Prediction = Tuple[str, int, Optional[float], List[Tuple[int, float]]]
BEST = 5  # classes that are kept of each image
SORTED_VALUES = 2 ** 20  # probabilities at a time: their order takes more memory than they
_HEADER = "image\tclass\tprobability\t" + "\t".join(f"class {place}\tprobability {place}" for place in
                                                    range(1, BEST + 1))


@dataclass(frozen=True)
class Classifier(Network):
    """A network that classifies, its weights, and how it is tested."""

    TASK, OTHER = CLASSIFICATION, "segments: issegm.Segmenter and issegm/voc.py are for it"
    HOW, RECORD = Views, staticmethod(described_record)
    CALIBRATION_IMAGES = 64  # that INT8's ranges are measured on

    record: ClassificationDataset
    test: Views

    @classmethod
    def of_onnx(cls, model: OnnxModel, **views: Any) -> "Classifier":
        """That of an `OnnxModel`."""
        if model.size and not views.get("scales"):
            views["scales"] = (max(model.size),)
        network = cls._described(model.description, model.path, views)
        for side in network.input_sides:
            model.require_size((side, side))
        return replace(network, predictor=model)

    @property
    def input_sides(self) -> Sequence[int]:
        """Those of the crops; ValueError where they are larger than the images."""
        return self.test.sides

    def inputs(self) -> Dict[str, Any]:
        """What the network is given of an image, by the flags' names."""
        return {"dataset": self.record.name, **self.test.inputs(),
                "no_choose_interp_method": self._interpolation == "bicubic",
                "pool_top_infer_style": self.description.pool_style or None}

    def predict(self, image: Images, **views: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """Probabilities, (classes,) float32, averaged over the views.

        `image` is a path (of a photograph, which is turned as its camera noted), a PIL image, or (H, W, 3) uint8 RGB; a
        list of them gives a list. `views`: fields of `Views` that differ from the classifier's, such as scales=(256,
        320), flipping=True, crops="five".
        """
        network, (images, several) = self.tested(**views), each_image(image)
        pixels, batch = [rgb_of(one) for one in images], network.test.batch
        found = [network.of_prepared([network.prepare(one) for one in pixels[start:start + batch]])
                 for start in range(0, len(pixels), batch)]
        return [row for rows in found for row in rows] if several else found[0][0]

    def features(self, image: Images, scale: Optional[int] = None, pooled: bool = True
                 ) -> Union[np.ndarray, List[np.ndarray]]:
        """What the classifier stands on, of the centre crop: (channels,) float32, averaged over the cells.

        `image` is as of `predict`, `scale` the length of its shorter side. Not `pooled`: the maps, (channels, h, w).
        """
        images, several = each_image(image)
        scale = scale or self.test.scales[0]
        network = self.tested(scales=(scale,), crops="centre", crop=None)
        maps = [self._maps(network.prepare(rgb_of(one))[scale])[0] for one in images]
        found = [one.mean((1, 2)) for one in maps] if pooled else maps
        return found if several else found[0]

    @cached_property
    def _maps(self) -> Predictor:
        """The `Predictor` of the maps that are averaged before the classifier."""
        if self.symbol is None or self.parameters is None:
            raise ValueError(f"{self.weights} has no features: load the .params file that it was made of")
        nodes, _ = read_graph(self.symbol.tojson())
        for node in reversed(nodes):
            if node["op"] == "Pooling" and node["attrs"].get("global_pool"):
                maps = self.symbol.get_internals()[f"{nodes[node['inputs'][0]]['name']}_output"]
                return load(self.engine).Predictor(maps, self.parameters, self.devices)
        raise ValueError("this network averages no maps before its classifier: it has no features of this kind")

    def prepare(self, pixels: np.ndarray, name: str = "the image") -> Dict[int, np.ndarray]:
        """An image's crops (views, 3, side, side) at every scale, the largest first; messages call it `name`."""
        return {scale: self._reader((), scale).views(pixels, name) for scale in self._scales}

    def of_prepared(self, images: Sequence[Dict[int, np.ndarray]], names: Sequence[str] = ()) -> np.ndarray:
        """Probabilities (images, classes) float32 of images as `prepare` gives them, averaged over the views."""
        probs = mean_of_passes((self._of_batches([np.stack([one[scale] for one in images])])
                                for scale in self._scales), len(images))
        return require_finite(probs, self.weights, lambda place: names[place] if names else "the image")

    def probabilities(self, samples: Sequence[Sample]) -> np.ndarray:
        """Probabilities (samples, classes) float32, averaged over the views."""
        probs = mean_of_passes((self._at_scale(samples, scale) for scale in self._scales), len(samples))
        return require_finite(probs, self.weights, lambda place: samples[place].image_path)

    def see(self, sample: Sample) -> None:
        """Give the network what it is given of a sample in the test."""
        self.probabilities([sample])

    @property
    def _scales(self) -> List[int]:
        return sorted(set(self.test.scales), reverse=True)

    def _at_scale(self, samples: Sequence[Sample], scale: int) -> Iterator[np.ndarray]:
        """Probabilities (samples, classes) at one size, in parts; workers read the samples."""
        views = self.test
        with Loader(self._reader(samples, scale), views.batch, workers=views.readers, kind=views.kind) as loader:
            batches = tqdm(loader.arrays(), total=loader.batches, unit="batch", desc=f"size {scale}", disable=None)
            yield from self._of_batches((data for data, _ in batches))

    def _of_batches(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities (images, classes) of batches (images, crops, 3, side, side), as `view_means` averages them."""
        predictor = self.ready

        def begin(data: np.ndarray) -> Callable[[], np.ndarray]:
            plain = predictor.begin(data)
            if not self.test.flipping:
                return plain
            mirrored = predictor.begin(transforms.flip(data))
            return lambda: (plain() + mirrored()) / 2

        return view_means(begin, batches, self.test.batch)

    def _reader(self, samples: Sequence[Sample], scale: int) -> TestImages:
        return TestImages(samples, scale, self.description, self.test.crops, self._interpolation, self.test.side(scale))

    @property
    def _interpolation(self) -> str:
        return self.test.interpolation or self.description.interpolation


def view_means(begin: Callable[[np.ndarray], Callable[[], np.ndarray]], batches: Iterable[np.ndarray],
               most: int) -> Iterator[np.ndarray]:
    """Mean probabilities (images, classes) float32 over the views of its images, of every batch in turn.

    `begin` takes up to `most` views, (N, 3, H, W), and gives a function that waits for their probabilities (N,
    classes): a batch, (images, views, 3, H, W), is read while the one before it is in the network.
    """
    begun: List[Tuple[Tuple[int, ...], List[Callable[[], np.ndarray]]]] = []
    for views in batches:
        inputs = views.reshape((-1,) + views.shape[2:])
        begun.append((views.shape[:2], [begin(inputs[i:i + most]) for i in range(0, len(inputs), most)]))
        if len(begun) > 1:
            yield _mean_of_views(*begun.pop(0))
    for one in begun:
        yield _mean_of_views(*one)


def _mean_of_views(shape: Tuple[int, ...], waits: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
    probs = np.concatenate([wait() for wait in waits])
    return probs.reshape(shape + probs.shape[1:]).mean(1)


def mean_of_passes(passes: Iterable[Iterable[np.ndarray]], images: int) -> np.ndarray:
    """Mean probabilities (images, classes) float32 of passes over the same images, each of which comes in parts.

    No pass is held as a whole: 50,000 images of 1,000 classes are 200 MB.
    """
    total: Optional[np.ndarray] = None
    count = 0
    for parts in passes:
        first, count = 0, count + 1
        for part in parts:
            if total is None:
                total = np.zeros((images, part.shape[1]), np.float32)
            total[first:first + len(part)] += part
            first += len(part)
    assert total is not None
    total /= count
    return total


def top_errors(probs: np.ndarray, class_ids: Sequence[int], ks: Sequence[int] = (1, 5)) -> List[float]:
    """Percentages of images whose class is not among the k most probable, for every k.

    An image whose class ties with others counts as wrong where the others alone fill the k places and come first.
    """
    hits = best_classes(probs, max(ks)) == np.asarray(class_ids)[:, None]
    return [100.0 * (1 - hits[:, :k].any(1).mean()) for k in ks]


def best_classes(probs: np.ndarray, count: int = BEST) -> np.ndarray:
    """The `count` most probable classes from the best on, (images, count) or fewer; of equals, the first."""
    rows = max(1, SORTED_VALUES // probs.shape[1])
    return np.concatenate([np.argsort(-probs[first:first + rows], axis=1, kind="stable")[:, :count].copy()
                           for first in range(0, len(probs), rows)])


def write_predictions(path: str, samples: Iterable[Sample], probs: np.ndarray) -> None:
    """Write what was predicted: a line per image, with its class and that one's probability, and the best classes.

    Of samples whose class is not known (-1), the probability is empty.
    """
    lines = [_HEADER]
    for sample, row, order in zip(samples, probs, best_classes(probs)):
        known = f"{row[sample.class_id]:.6f}" if sample.class_id >= 0 else ""
        lines.append("\t".join([sample.image, str(sample.class_id), known]
                               + [f"{index}\t{row[index]:.6f}" for index in order]))
    write_text(path, "\n".join(lines) + "\n")


def read_predictions(path: str) -> List[Prediction]:
    """What `write_predictions` wrote: a list of (image, class, probability or None, [(class, probability), …])."""
    with open(path, encoding="utf-8", errors="surrogateescape") as source:
        header, *lines = source.read().split("\n")
    found: List[Prediction] = []
    try:
        if header != _HEADER or lines.pop():
            raise ValueError
        for image, class_id, known, *best in (line.split("\t") for line in lines):
            places = [(int(index), float(value)) for index, value in zip(best[::2], best[1::2])]
            found.append((image, int(class_id), float(known) if known else None, places))
    except ValueError:
        raise ValueError(f"{path} is no whole file of predictions: test again") from None
    return found


def write_entry(path: str, probs: np.ndarray, numbers: Sequence[int]) -> None:
    """Write an entry for ILSVRC's server: a line per image with the five best classes' numbers, the best first.

    `numbers` are the server's of our classes. (The development kit's readme, "Submission format", task 1.)
    """
    write_text(path, "".join(" ".join(str(numbers[index]) for index in order) + "\n" for order in best_classes(probs)))
