"""A segmentation network with its weights: what the drivers test, and the entrance from Python.

    from issegm import Segmenter

    segmenter = Segmenter.load("models/camvid_rna-a1-w0.125_cls11_s8_fine_ep-0028.params")      # or .onnx
    labels = segmenter.predict("street.jpg", scales=(600,), flipping=True)
"""
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp.data.images import decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import ImageLike, Images, each_image, rgb_of
from ademxapp.data.resize import scaled_size, size_of
from ademxapp.deploy.onnx_model import OnnxModel, of_any_size, require_none
from ademxapp.engine import Device, Symbol
from ademxapp.engine import load as load_engine
from ademxapp.evaluation import int8
from ademxapp.evaluation.dense import (
    DenseSettings,
    ScoreMap,
    input_size,
    label_map,
    predict_dense,
    scaled_pixels,
    scores_at_image_size,
)
from ademxapp.evaluation.pictures import class_colours, labels_over
from ademxapp.evaluation.pipeline import require_finite
from ademxapp.evaluation.windows import WindowChoice
from ademxapp.symbol import Label, SymbolOptions, parse_label, segmentation_symbol, whole_cells
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION, Description
from ademxapp.weights.parameters import Parameters, load_parameters, parameter_shapes, require_exact
from issegm.datasets import SegmentationDataset, described_record


@dataclass(frozen=True)
class DenseTest:
    """How images are tested, as the drivers' flags of these names say.

    Attributes
    ----------
    scales : tuple of int
        Lengths of the longer side, in pixels.
    flipping : bool
        Average with the mirrored image.
    steps : int
        Shifts per direction, in parts of the stride.
    window : int, optional
        Pixels: larger inputs go through the network in overlapping windows of this side; without it only those that
        do not fit into the free memory.
    batch : int
        Inputs per forward pass.
    """

    scales: Tuple[int, ...]
    flipping: bool = False
    steps: int = 1
    window: Optional[int] = None
    batch: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", (self.scales,) if isinstance(self.scales, int) else tuple(self.scales))
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales {self.scales}: wanted lengths of the images' longer side, in pixels")

    def inputs(self) -> Dict[str, Any]:
        """What the network is given of an image, by the flags' names."""
        return {"test_scales": list(self.scales), "test_flipping": self.flipping, "test_steps": self.steps,
                "window": self.window}


@dataclass(frozen=True)
class Segmenter:
    """A network, its weights, and how it is tested; one of the sources of score maps.

    Attributes
    ----------
    description : Description
        Of the weights.
    record : SegmentationDataset
        Whose classes it has.
    test : DenseTest
        What holds where `predict` is not asked for something else.
    forward : callable
        Inputs (N, 3, H, W) float32 to probabilities (N, C, H / stride, W / stride) float32; none before it is `on`
        devices.
    weights : str
        The file.
    symbol, parameters, devices, engine : Symbol, Parameters, list of Device, str
        What runs, and by which engine; none for an ONNX file.
    say : callable
        Takes the text that tells of windows that are chosen.
    """

    CALIBRATION_IMAGES = 16  # that INT8's ranges are measured on

    description: Description
    record: SegmentationDataset
    test: DenseTest
    forward: Optional[Callable[[np.ndarray], np.ndarray]] = None
    weights: str = ""
    symbol: Optional[Symbol] = None
    parameters: Optional[Parameters] = None
    devices: Sequence[Device] = ()
    engine: Optional[str] = None
    say: Callable[[str], None] = logging.getLogger("ademxapp").info

    @classmethod
    def load(cls, path: str, engine: Optional[str] = None, devices: Optional[Sequence[Device]] = None,
             dataset_file: Optional[str] = None, dtype: Optional[str] = None,
             images: Optional[Sequence[str]] = None, **test: Any) -> "Segmenter":
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
        test
            Fields of `DenseTest`: what holds where `predict` is not asked for something else. By default images have
            the size that the weights were trained at or, where that is not known, the dataset's.

        Raises ValueError if the file cannot be used so.
        """
        if str(path).endswith(".onnx"):
            require_none(path, engine=engine, devices=devices, dataset_file=dataset_file, dtype=dtype, images=images)
            return cls.of_onnx(OnnxModel(path), **test)
        backend = load_engine(engine)  # before the network is built
        network = cls.read(str(path), dataset_file=dataset_file, **test)
        return network.on(devices or backend.devices(), dtype, int8.Images.of_files(images) if images else None, engine)

    @classmethod
    def read(cls, path: str, label: Optional[str] = None, record: Optional[SegmentationDataset] = None,
             dataset: Optional[str] = None, dataset_file: Optional[str] = None, **test: Any) -> "Segmenter":
        """The network of a `.params` file, which is on no device yet.

        The network's `label` and the dataset's `record` are found out if not given; the latter by the names of a
        `dataset` or its file, where given. Other arguments are as of `load`. ValueError unless the parameters are
        exactly the network's.
        """
        parameters = load_parameters(path)
        known = describe(path, label, {name: value.shape for name, value in parameters.args.items()})
        if known.note:
            logging.getLogger("ademxapp").warning("%s", known.note)
        require_segmenting(known, path)
        record = record or described_record(known, dataset, dataset_file)
        symbol = test_symbol(parse_label(known.label), known.head)
        require_exact(parameters, parameter_shapes(symbol, data=(1, 3, 2 * known.stride, 2 * known.stride)), path)
        return cls(known, record, default_test(known, record, **test), None, path, symbol, parameters)

    def on(self, devices: Sequence[Device], dtype: Optional[str] = None, images: Optional[int8.Images] = None,
           engine: Optional[str] = None, compiled: bool = False) -> "Segmenter":
        """The same, ready to run on devices, in a dtype; INT8's ranges are those of `images`, or that are kept."""
        network = replace(self, devices=devices, engine=engine)
        inputs = {"dataset": self.record.name, **self.test.inputs()}
        return replace(network, forward=int8.make_predictor(network, dtype, inputs, images, engine, compiled))

    @classmethod
    def of_onnx(cls, model: OnnxModel, **test: Any) -> "Segmenter":
        """That of an `OnnxModel`."""
        known, record = model.description, described_record(model.description)
        require_segmenting(known, model.path)
        return cls(known, record, default_test(known, record, **test), of_any_size(model), model.path)

    @property
    def class_names(self) -> Tuple[str, ...]:
        """Of the labels."""
        return self.record.class_names

    def predict(self, image: Images, **test: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """The best class of every pixel, (H, W) uint8, indices of `class_names`.

        `image` is a path (of a photograph, which is turned as its camera noted), a PIL image, or (H, W, 3) uint8 RGB; a
        list of them gives a list. `test`: fields of `DenseTest` that differ from the segmenter's, such as scales=(480,
        600), flipping=True.
        """
        return self._of_each(image, label_map, test)

    def probabilities(self, image: Images, **test: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """Probabilities of the classes, (C, H, W) float32, at the image's size; arguments as of `predict`."""
        return self._of_each(image, lambda maps: np.concatenate([rows for _, rows in scores_at_image_size(maps)], 1),
                             test)

    def overlay(self, image: ImageLike, labels: Optional[np.ndarray] = None) -> np.ndarray:
        """The classes, (H, W), by default as predicted, in their colours over an image: (H, W, 3) uint8."""
        pixels = rgb_of(image)
        labels = label_map(self.score_maps(None, pixels)) if labels is None else labels
        if labels.shape != pixels.shape[:2]:
            raise ValueError(f"labels {labels.shape} are not of this image: wanted {pixels.shape[:2]}")
        return labels_over(pixels, labels, self.colours)

    @cached_property
    def colours(self) -> np.ndarray:
        """Of the classes: (256, 3) uint8."""
        return class_colours(self.record.palette, self.record.label_ids)

    def tested(self, **test: Any) -> "Segmenter":
        """The same with another `DenseTest`: its fields that differ."""
        return replace(self, test=replace(self.test, **test)) if test else self

    def _of_each(self, image: Images, finish: Callable[[List[ScoreMap]], np.ndarray], test: Dict[str, Any]
                 ) -> Union[np.ndarray, List[np.ndarray]]:
        network, (images, several) = self.tested(**test), each_image(image)
        found = [finish(network.score_maps(None, rgb_of(one))) for one in images]
        return found if several else found[0]

    # As a source of score maps

    @property
    def scales(self) -> Tuple[int, ...]:
        """Of the score maps."""
        return self.test.scales

    @property
    def maps(self) -> int:
        """Score maps of an image."""
        return len(self.test.scales)

    @cached_property
    def dense(self) -> DenseSettings:
        """How images are tested, but for the windows."""
        known, test = self.description, self.test
        return DenseSettings(known.mean, known.std, known.stride, test.steps, test.flipping, not self.record.same_size,
                             test.batch, known.interpolation)

    @cached_property
    def window(self) -> Callable[[Tuple[int, int]], int]:
        """From an input's (H, W) to the side of its windows, 0 for none."""
        if self.symbol is None:
            side = whole_cells(self.test.window or 0, self.dense.stride)
            return lambda size: side
        return WindowChoice(self.symbol, self.devices, self.test.batch, self.dense.stride, self.test.window, self.say,
                            runs=self.engine)

    @property
    def windows_chosen(self) -> Dict[Tuple[int, int], int]:
        """{(H, W) of inputs: side of their windows}, of those that did not fit into the memory."""
        return getattr(self.window, "chosen", {})

    def settings(self, scale: int, size: Tuple[int, int]) -> DenseSettings:
        """The DenseSettings for an image of (h, w) pixels at a scale."""
        scaled = scaled_size(size, scale, longer=True)
        return replace(self.dense, window=self.window(input_size(scaled, scale, self.dense)))

    def prepare(self, sample: Optional[Sample], image: np.ndarray) -> Dict[int, np.ndarray]:
        """What `score_maps` needs of an image, for any thread to make ahead: {scale: its scaled pixels}."""
        return {scale: scaled_pixels(image, scale, self.dense) for scale in self.scales}

    def score_maps(self, sample: Optional[Sample], image: np.ndarray, prepared: Optional[Dict[int, np.ndarray]] = None
                   ) -> List[ScoreMap]:
        """An image's score maps, one of each scale. The largest is made first: the others fit into its memory."""
        pixels = prepared or self.prepare(sample, image)
        maps = {scale: predict_dense(self._ready, image, scale, self.settings(scale, size_of(image)), pixels[scale])
                for scale in sorted(self.scales, reverse=True)}
        for one in maps.values():
            require_finite(one.scores[None], self.weights, lambda _: sample.image_path if sample else "the image")
        return [maps[scale] for scale in self.scales]

    @property
    def _ready(self) -> Callable[[np.ndarray], np.ndarray]:
        if self.forward is None:
            raise ValueError(f"{self.weights} is on no device yet: wanted on(devices) before it is tested")
        return self.forward

    def score_with(self, forward: Callable[[np.ndarray], np.ndarray], sample: Sample) -> None:
        """Give another `forward` what it would be given of a sample."""
        image = decode_rgb(sample.read()[0], sample.image_path)
        replace(self, forward=forward).score_maps(sample, image)


def test_symbol(label: Label, head: str) -> Symbol:
    """The network for testing."""
    return segmentation_symbol(label, SymbolOptions(bn_use_global_stats=True), head, "softmax")


def require_segmenting(known: Description, path: str) -> None:
    """ValueError unless weights are of a segmentation network."""
    if known.task != SEGMENTATION:
        raise ValueError(f"{path} is a network that classifies: iclass.Classifier and iclass/ilsvrc.py are for it")


def default_test(known: Description, record: SegmentationDataset, **test: Any) -> DenseTest:
    """A `DenseTest` at the size that is known of the weights, or the dataset's, where none is given."""
    scales = test.pop("scales", None) or (known.test_scale or record.largest_side,)
    return DenseTest(scales, **test)
