"""Dense prediction at several scales."""
from dataclasses import dataclass, replace
from typing import Callable, Optional

from ademxapp.data.resize import scaled_size
from ademxapp.evaluation.dense import DenseSettings, input_size, predict_dense, scaled_pixels
from ademxapp.evaluation.finite import require_finite


@dataclass(frozen=True)
class Network:
    """A source: a network that predicts an image at several scales.

    Attributes
    ----------
    predict : callable
        As for `predict_dense`.
    scales : tuple of int
    dense : DenseSettings
    weights : str
        The file's name.
    window : callable, optional
        From an input's (H, W) to the side of its windows, 0 for none.
    """

    predict: Callable
    scales: tuple
    dense: DenseSettings
    weights: str = ""
    window: Optional[Callable] = None

    @property
    def maps(self):
        """Score maps of an image (int)."""
        return len(self.scales)

    def settings(self, scale, size):
        """The DenseSettings for an image of (h, w) pixels at a scale."""
        if self.window is None:
            return self.dense
        return replace(self.dense, window=self.window(input_size(scaled_size(size, scale, longer=True), scale,
                                                                 self.dense)))

    def prepare(self, sample, image):
        """What `score_maps` needs of an image, for any thread to make ahead: {scale: its scaled pixels}."""
        return {scale: scaled_pixels(image, scale, self.dense) for scale in self.scales}

    def score_maps(self, sample, image, prepared=None):
        """The image's score maps, a list of ScoreMap. The largest is made first: the others fit into its memory."""
        pixels = prepared or self.prepare(sample, image)
        maps = {scale: predict_dense(self.predict, image, scale, self.settings(scale, image.shape[:2]), pixels[scale])
                for scale in sorted(self.scales, reverse=True)}
        for one in maps.values():
            require_finite(one.scores[None], self.weights, lambda _: sample.image_path if sample else "the image")
        return [maps[scale] for scale in self.scales]
