"""A classification network with its weights: what the driver tests, and the entrance from Python.

    from iclass import Classifier

    classifier = Classifier.load("models/imagenette128_rna-a1-w0.125_cls10_ep-0050.params")      # or .onnx
    probabilities = classifier.predict("dog.jpg")
    features = classifier.features("dog.jpg")
"""
import json
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from ademxapp.data import transforms
from ademxapp.data.lists import Sample
from ademxapp.data.loader import Loader
from ademxapp.data.photographs import Images, each_image, rgb_of
from ademxapp.deploy.onnx_model import OnnxModel, require_none
from ademxapp.engine import Device, Predictor, Symbol
from ademxapp.engine import load as load_engine
from ademxapp.evaluation import int8
from ademxapp.evaluation.classification import mean_of_passes, view_means
from ademxapp.evaluation.pipeline import require_finite
from ademxapp.symbol import SymbolOptions, classification_symbol, parse_label
from ademxapp.weights.describe import describe
from ademxapp.weights.description import CLASSIFICATION, Description
from ademxapp.weights.parameters import Parameters, load_parameters, parameter_shapes, require_exact
from iclass.data import TestImages, Views
from iclass.datasets import ClassificationDataset, described_record


@dataclass(frozen=True)
class Classifier:
    """A network, its weights, and how it is tested.

    Attributes
    ----------
    description : Description
        Of the weights.
    record : ClassificationDataset
        Whose classes it has.
    views : Views
        What holds where `predict` is not asked for something else.
    predictor : Predictor
        Inputs (N, 3, H, W) float32 to probabilities (N, classes) float32; none before it is `on` devices.
    weights : str
        The file.
    symbol, parameters, devices, engine : Symbol, Parameters, list of Device, str
        What runs, and by which engine; none for an ONNX file.
    """

    CALIBRATION_IMAGES = 64  # that INT8's ranges are measured on

    description: Description
    record: ClassificationDataset
    views: Views
    predictor: Optional[Predictor] = None
    weights: str = ""
    symbol: Optional[Symbol] = None
    parameters: Optional[Parameters] = None
    devices: Sequence[Device] = ()
    engine: Optional[str] = None

    @classmethod
    def load(cls, path: str, engine: Optional[str] = None, devices: Optional[Sequence[Device]] = None,
             dataset_file: Optional[str] = None, dtype: Optional[str] = None,
             images: Optional[Sequence[str]] = None, **views: Any) -> "Classifier":
        """The network of a `.params` file, or of an ONNX file that tools/weights.py export wrote.

        Parameters
        ----------
        engine : str, optional
            One of `ademxapp.engine.ENGINES`; by default the one that is installed.
        devices : list of Device, optional
            As the engine's `devices` gives them; by default its own choice.
        dataset_file : str, optional
            The YAML file of a dataset that is neither built in nor told by the weights' own description.
        dtype : {"float32", "bfloat16", "int8"}, optional
            What CPUs compute in.
        images : list of str, optional
            Files that int8's ranges are measured on; without them those that are kept beside the weights are taken.
        views
            Fields of `Views`: what holds where `predict` is not asked for something else. By default images have the
            size that the weights were trained for.

        Raises ValueError if the file cannot be used so.
        """
        if str(path).endswith(".onnx"):
            require_none(path, engine=engine, devices=devices, dataset_file=dataset_file, dtype=dtype, images=images)
            return cls.of_onnx(OnnxModel(path), **views)
        backend = load_engine(engine)  # before the network is built
        network = cls.read(str(path), dataset_file=dataset_file, **views)
        return network.on(devices or backend.devices(), dtype, int8.Images.of_files(images) if images else None, engine)

    @classmethod
    def read(cls, path: str, label: Optional[str] = None, record: Optional[ClassificationDataset] = None,
             pool_style: Optional[str] = None, dataset: Optional[str] = None, dataset_file: Optional[str] = None,
             **views: Any) -> "Classifier":
        """The network of a `.params` file, which is on no device yet.

        The network's `label` and `pool_style` and the dataset's `record` are found out if not given; the last by the
        names of a `dataset` or its file, where given. Other arguments are as of `load`. ValueError unless the
        parameters are exactly the network's, and it takes such crops.
        """
        parameters = load_parameters(path)
        known = describe(path, label, {name: value.shape for name, value in parameters.args.items()})
        if known.note:
            logging.getLogger("ademxapp").warning("%s", known.note)
        require_classifying(known, path)
        record = record or described_record(known, dataset, dataset_file)
        options = SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=pool_style or known.pool_style or None)
        symbol, views = classification_symbol(parse_label(known.label), options), default_views(known, **views)
        for side in views.sides:
            require_exact(parameters, parameter_shapes(symbol, data=(1, 3, side, side)), path)
        known = replace(known, pool_style=options.pool_top_infer_style or "")
        return cls(known, record, views, None, path, symbol, parameters)

    def on(self, devices: Sequence[Device], dtype: Optional[str] = None, images: Optional[int8.Images] = None,
           engine: Optional[str] = None, compiled: bool = False) -> "Classifier":
        """The same, ready to run on devices, in a dtype; INT8's ranges are those of `images`, or that are kept."""
        network = replace(self, devices=devices, engine=engine)
        interpolation = self.views.interpolation or self.description.interpolation
        inputs = {"dataset": self.record.name, **self.views.inputs(),
                  "no_choose_interp_method": interpolation == "bicubic",
                  "pool_top_infer_style": self.description.pool_style or None}
        return replace(network, predictor=int8.make_predictor(network, dtype, inputs, images, engine, compiled))

    @classmethod
    def of_onnx(cls, model: OnnxModel, **views: Any) -> "Classifier":
        """That of an `OnnxModel`."""
        known = model.description
        require_classifying(known, model.path)
        if model.size and not views.get("scales"):
            views["scales"] = (max(model.size),)
        asked = default_views(known, **views)
        for side in asked.sides:
            model.require_size((side, side))
        return cls(known, described_record(known), asked, model, model.path)

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Of the probabilities."""
        return self.record.class_names or tuple(f"class {index}" for index in range(self.description.classes))

    def predict(self, image: Images, **views: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """Probabilities, (classes,) float32, averaged over the views.

        `image` is a path (of a photograph, which is turned as its camera noted), a PIL image, or (H, W, 3) uint8 RGB; a
        list of them gives a list. `views`: fields of `Views` that differ from the classifier's, such as scales=(256,
        320), flipping=True, crops="five".
        """
        network, (images, several) = self.tested(**views), each_image(image)
        pixels, batch = [rgb_of(one) for one in images], network.views.batch
        found = [network.of_prepared([network.prepare(one) for one in pixels[start:start + batch]])
                 for start in range(0, len(pixels), batch)]
        return [row for rows in found for row in rows] if several else found[0][0]

    def features(self, image: Images, scale: Optional[int] = None, pooled: bool = True
                 ) -> Union[np.ndarray, List[np.ndarray]]:
        """What the classifier stands on, of the centre crop: (channels,) float32, averaged over the cells.

        `image` is as of `predict`, `scale` the length of its shorter side. Not `pooled`: the maps, (channels, h, w).
        """
        images, several = each_image(image)
        scale = scale or self.views.scales[0]
        network = self.tested(scales=(scale,), crops="centre", crop=None)
        maps = [self._maps(network.prepare(rgb_of(one))[scale])[0] for one in images]
        found = [one.mean((1, 2)) for one in maps] if pooled else maps
        return found if several else found[0]

    @cached_property
    def _maps(self) -> Predictor:
        """The `Predictor` of the maps that are averaged before the classifier."""
        if self.symbol is None or self.parameters is None:
            raise ValueError(f"{self.weights} has no features: load the .params file that it was made of")
        maps = self.symbol.get_internals()[averaged_maps(self.symbol)]
        return load_engine(self.engine).Predictor(maps, self.parameters, self.devices)

    def tested(self, **views: Any) -> "Classifier":
        """The same with other `Views`: its fields that differ."""
        return replace(self, views=replace(self.views, **views)) if views else self

    def prepare(self, pixels: np.ndarray, name: str = "the image") -> Dict[int, np.ndarray]:
        """An image's crops (views, 3, side, side) at every scale, the largest first; messages call it `name`."""
        return {scale: self._reader((), scale).views(pixels, name) for scale in self._scales}

    def of_prepared(self, images: Sequence[Dict[int, np.ndarray]], names: Sequence[str] = ()) -> np.ndarray:
        """Probabilities (images, classes) float32 of images as `prepare` gives them, averaged over the views."""
        probs = mean_of_passes((self._of_batches(self._ready, [np.stack([one[scale] for one in images])])
                                for scale in self._scales), len(images))
        return require_finite(probs, self.weights, lambda place: names[place] if names else "the image")

    def probabilities(self, samples: Sequence[Sample], predictor: Optional[Predictor] = None) -> np.ndarray:
        """Probabilities (samples, classes) float32, averaged over the views; of another `predictor`, where given."""
        probs = mean_of_passes((self._at_scale(samples, predictor or self._ready, scale) for scale in self._scales),
                               len(samples))
        return require_finite(probs, self.weights, lambda place: samples[place].image_path)

    def score_with(self, predictor: Predictor, sample: Sample) -> None:
        """Give another `predictor` what it would be given of a sample."""
        self.probabilities([sample], predictor)

    @property
    def _ready(self) -> Predictor:
        if self.predictor is None:
            raise ValueError(f"{self.weights} is on no device yet: wanted on(devices) before it is tested")
        return self.predictor

    @property
    def _scales(self) -> List[int]:
        return sorted(set(self.views.scales), reverse=True)

    def _at_scale(self, samples: Sequence[Sample], predictor: Predictor, scale: int) -> Iterator[np.ndarray]:
        """Probabilities (samples, classes) at one size, in parts; workers read the samples."""
        views = self.views
        with Loader(self._reader(samples, scale), views.batch, workers=views.readers, kind=views.kind) as loader:
            batches = tqdm(loader.arrays(), total=loader.batches, unit="batch", desc=f"size {scale}", disable=None)
            yield from self._of_batches(predictor, (data for data, _ in batches))

    def _of_batches(self, predictor: Predictor, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities (images, classes) of batches (images, crops, 3, side, side) in turn, averaged over crops and,
        if asked, the mirrored crops.
        """
        def begin(data: np.ndarray) -> Callable[[], np.ndarray]:
            plain = predictor.begin(data)
            if not self.views.flipping:
                return plain
            mirrored = predictor.begin(transforms.flip(data))
            return lambda: (plain() + mirrored()) / 2

        return view_means(begin, batches, self.views.batch)

    def _reader(self, samples: Sequence[Sample], scale: int) -> TestImages:
        views, known = self.views, self.description
        return TestImages(samples, scale, known, views.crops, views.interpolation or known.interpolation,
                          views.side(scale))


def require_classifying(known: Description, path: str) -> None:
    """ValueError unless weights are of a classification network."""
    if known.task != CLASSIFICATION:
        raise ValueError(f"{path} is a network that segments: issegm.Segmenter and issegm/voc.py are for it")


def default_views(known: Description, **views: Any) -> Views:
    """`Views` at the size that is known of the weights, where none is given."""
    scales = views.pop("scales", None) or (known.test_scale,)
    return Views(scales, **views)


def averaged_maps(symbol: Symbol) -> str:
    """The name of the maps that a classifier averages; ValueError for one that does not average any."""
    nodes = json.loads(symbol.tojson())["nodes"]
    for node in reversed(nodes):
        if node["op"] == "Pooling" and node.get("attrs", {}).get("global_pool") == "True":
            before, output, *_ = node["inputs"][0]
            return f"{nodes[before]['name']}_output"
    raise ValueError("this network averages no maps before its classifier: it has no features of this kind")
