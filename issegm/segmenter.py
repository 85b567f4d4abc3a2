"""A segmentation network with its weights: what the drivers test, and the entrance from Python.

    from issegm import Segmenter

    segmenter = Segmenter.load("models/camvid_rna-a1-w0.125_cls11_s8_fine_ep-0028.params")      # or .onnx
    labels = segmenter.predict("street.jpg", scales=(600,), flipping=True)
"""
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np

from ademxapp.data.images import decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import ImageLike, Images, each_image, rgb_of
from ademxapp.data.transforms import scaled_size, size_of
from ademxapp.deploy.onnx_model import OnnxModel, of_any_size
from ademxapp.evaluation.dense import DenseSettings, ScoreMap, label_map, predict_dense, scores_at_image_size
from ademxapp.evaluation.pictures import class_colours, labels_over
from ademxapp.evaluation.windows import WindowChoice
from ademxapp.network import Network, require_finite
from ademxapp.weights.description import SEGMENTATION
from issegm.datasets import SegmentationDataset, described_record


@dataclass(frozen=True)
class DenseTest:
    """How images are tested, as the drivers' flags of these names say."""

    scales: Tuple[int, ...]  # lengths of the longer side, in pixels
    flipping: bool = False  # average with the mirrored image
    steps: int = 1  # shifts per direction, in parts of the stride
    window: Optional[int] = None  # side of overlapping windows, in pixels; without it as the free memory wants it
    batch: int = 1  # inputs per forward pass

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", (self.scales,) if isinstance(self.scales, int) else tuple(self.scales))
        if not self.scales or min(self.scales) < 1:
            raise ValueError(f"scales {self.scales}: wanted lengths of the images' longer side, in pixels")


@dataclass(frozen=True)
class Segmenter(Network):
    """A network that segments, its weights, and how it is tested; one of the sources of score maps."""

    TASK, OTHER = SEGMENTATION, "classifies: iclass.Classifier and iclass/ilsvrc.py are for it"
    HOW, RECORD = DenseTest, staticmethod(described_record)
    CALIBRATION_IMAGES = 16  # that INT8's ranges are measured on

    record: SegmentationDataset
    test: DenseTest

    @classmethod
    def of_onnx(cls, model: OnnxModel, **test: Any) -> "Segmenter":
        """That of an `OnnxModel`."""
        return replace(cls._described(model.description, model.path, test), predictor=of_any_size(model))

    def inputs(self) -> Dict[str, Any]:
        """What the network is given of an image, by the flags' names."""
        test = self.test
        return {"dataset": self.record.name, "test_scales": list(test.scales), "test_flipping": test.flipping,
                "test_steps": test.steps, "window": test.window}

    def predict(self, image: Images, **test: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """The best class of every pixel, (H, W) uint8, indices of `class_names`.

        `image` is a path (of a photograph, which is turned as its camera noted), a PIL image, or (H, W, 3) uint8 RGB; a
        list of them gives a list. `test`: fields of `DenseTest` that differ from the segmenter's, such as scales=(480,
        600), flipping=True.
        """
        return self._of_each(image, label_map, test)

    def probabilities(self, image: Images, **test: Any) -> Union[np.ndarray, List[np.ndarray]]:
        """Probabilities of the classes, (C, H, W) float32, at the image's size; arguments as of `predict`."""
        return self._of_each(image, scores_at_image_size, test)

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

    def _of_each(self, image: Images, finish: Callable[[List[ScoreMap]], np.ndarray], test: Dict[str, Any]
                 ) -> Union[np.ndarray, List[np.ndarray]]:
        network, (images, several) = self.tested(**test), each_image(image)
        found = [finish(network.score_maps(None, rgb_of(one))) for one in images]
        return found if several else found[0]

    # As a source of score maps

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
    def window(self) -> WindowChoice:
        """From an input's (H, W) to the side of its windows, 0 for none."""
        return WindowChoice(self.symbol, self.devices, self.test.batch, self.dense.stride, self.test.window,
                            self.engine)

    def settings(self, scale: int, size: Tuple[int, int]) -> DenseSettings:
        """The DenseSettings for an image of (h, w) pixels at a scale."""
        scaled = scaled_size(size, scale, longer=True)
        return replace(self.dense, window=self.window(self.dense.input_size(scaled, scale)))

    def prepare(self, sample: Optional[Sample], image: np.ndarray) -> Dict[int, np.ndarray]:
        """What `score_maps` needs of an image, for any thread to make ahead: {scale: its scaled pixels}."""
        return {scale: self.dense.scaled_pixels(image, scale) for scale in self.test.scales}

    def score_maps(self, sample: Optional[Sample], image: np.ndarray, prepared: Optional[Dict[int, np.ndarray]] = None
                   ) -> List[ScoreMap]:
        """An image's score maps, one of each scale. The largest is made first: the others fit into its memory."""
        predict, pixels = self.ready, prepared or self.prepare(sample, image)
        maps = {scale: predict_dense(predict, image, scale, self.settings(scale, size_of(image)), pixels[scale])
                for scale in sorted(self.test.scales, reverse=True)}
        for one in maps.values():
            require_finite(one.scores[None], self.weights, lambda _: sample.image_path if sample else "the image")
        return [maps[scale] for scale in self.test.scales]

    def see(self, sample: Sample) -> None:
        """Give the network what it is given of a sample in the test."""
        self.score_maps(sample, decode_rgb(sample.read()[0], sample.image_path))
