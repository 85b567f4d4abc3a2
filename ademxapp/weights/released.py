"""The weights that the authors released in 2016 and 2017, and the scores that belong to them."""
from dataclasses import dataclass
from typing import Dict, Optional, Tuple, Union

from ademxapp.files import digest


@dataclass(frozen=True)
class Released:
    """A released file.

    Attributes
    ----------
    label : str
        Names the dataset, the network, the number of classes and the stride.
    md5 : str
        Of the file.
    scores : tuple of (str, float)
        What the published command gives on the validation set: name, percent.
    program, settings : str, dict
        That command: {flag without dashes: value, true for a flag alone}.
    head : str or None
        Of a segmentation network: see `ademxapp.symbol.heads`.
    """

    label: str
    md5: str
    scores: Tuple[Tuple[str, float], ...]
    program: str
    settings: Dict[str, Union[str, int, bool]]
    head: Optional[str] = None

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.label}_ep-0001.params"

    @property
    def command(self) -> str:
        """The published command."""
        flags = [f"--{flag}" if value is True else f"--{flag} {value}" for flag, value in self.settings.items()]
        return " ".join(["python", self.program, *flags])


def _classifier(network: str, md5: str, top1_error: float, top5_error: float, **more: str) -> Released:
    label = f"ilsvrc-cls_{network}_cls1000"
    return Released(label, md5, (("top-1 error", top1_error), ("top-5 error", top5_error)), "iclass/ilsvrc.py", {
        "data-root": "data/ilsvrc12", "output": "output", "batch-images": 10, "phase": "val",
        "weights": f"models/{label}_ep-0001.params", "split": "val", "test-scales": 320, "gpus": 0,
        "no-choose-interp-method": True, **more})


def _segmenter(label: str, md5: str, scores: Tuple[Tuple[str, float], ...], root: str, scale: int, **more: int
               ) -> Released:
    return Released(label, md5, scores, "issegm/voc.py", {
        "data-root": f"data/{root}", "output": "output", "phase": "val", "weights": f"models/{label}_ep-0001.params",
        "split": "val", "test-scales": scale, "test-flipping": True, **more, "gpus": 0}, "2conv")


RELEASED = (
    _classifier("rna-a", "2421c1945b6797cecd3f89db14ca73f6", 19.20, 4.73, **{"pool-top-infer-style": "caffe"}),
    _classifier("rna-a1", "ff21f45d6bf03284100dcbec571edfad", 19.54, 4.75),
    _segmenter("voc_rna-a1_cls21_s8", "a34628a63d5f62dcb98c29c4e281f332", (("mean IoU", 80.84),), "VOCdevkit", 500),
    _segmenter("voc_rna-a1_cls21_s8_coco", "328c0eca0c45b6345ada2f95edce68d4", (("mean IoU", 82.86),), "VOCdevkit",
               500),
    _segmenter("cityscapes_rna-a1_cls19_s8", "226b3e861a6be7d0dc84e537f4eab154", (("mean IoU", 78.08),), "cityscapes",
               2048),
    _segmenter("ade20k_rna-a1_cls150_s8", "1faf29850bfa194678f0b8e1cbbffa98",
               (("pixel accuracy", 80.55), ("mean IoU", 43.34)), "ade20k", 500, **{"test-steps": 2}),
)
BY_FILE = {released.file: released for released in RELEASED}


def md5_of(path: str) -> str:
    """MD5 of a file, in hexadecimal digits."""
    return digest(path, "md5")
