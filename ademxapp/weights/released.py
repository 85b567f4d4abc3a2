"""The weights that the authors released in 2016 and 2017, with their scores, and fetching; those that come with us."""
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Dict, Optional, Tuple, Union
from urllib.parse import quote, urlsplit

from tqdm import tqdm

import ademxapp
from ademxapp.files import digest

_BLOCK = 2 ** 18
_TIMEOUT = 60  # seconds without a byte
_PART = ".part"  # beside the file's name, of what has come so far


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

# What comes with the program: in models/ of a clone, in ademxapp/models where it is installed.
CLASSIFIER = "imagenette128_rna-a1-w0.125_cls10_ep-0050.params"  # ten classes of ImageNet, 128x128 pixels
STREETS = "camvid_rna-a1-w0.125_cls11_s8_fine_ep-0028.params"  # CamVid's eleven classes of street scenes


def shipped_folder() -> str:
    """The folder of the weights that come with the program, which may have been removed."""
    package = os.path.dirname(os.path.abspath(ademxapp.__file__))
    inside = os.path.join(package, "models")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "models")


def shipped(name: str) -> Optional[str]:
    """The path of weights that come with the program; None where they are not."""
    path = os.path.join(shipped_folder(), name)
    return path if os.path.isfile(path) else None


def md5_of(path: str) -> str:
    """MD5 of a file, in hexadecimal digits."""
    return digest(path, "md5")


def fetch(base: str, name: str, folder: str, md5: str) -> None:
    """Fetch `base`/`name` into `folder`; what an earlier try left there is completed where the server can do that.

    Raises
    ------
    ValueError
        If `base` is no http(s) address, or the MD5 of what came is another: it is removed then.
    OSError
        If the transfer fails; what came stays, for the next try.
    """
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc:
        raise ValueError(f"{base!r} is no address: wanted http://… or https://…")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    _transfer(f"{base.rstrip('/')}/{quote(name)}", path + _PART)
    got = md5_of(path + _PART)
    if got != md5:
        os.unlink(path + _PART)
        raise ValueError(f"{name} from {base} has MD5 {got}, wanted {md5}: removed; try another mirror")
    os.replace(path + _PART, path)


def _transfer(url: str, part: str) -> None:
    start = os.path.getsize(part) if os.path.exists(part) else 0
    try:
        answer = _ask(url, start)
        if answer is None:  # nothing is missing, or the part is not of this file, as its MD5 will tell
            return
        with answer:
            if answer.status != 206:  # the server sends all of it
                start = 0
            length = answer.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            _copy(answer, part, start, total)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(f"{url}: {getattr(error, 'reason', None) or error}") from None
    have = os.path.getsize(part)
    if total is not None and have != total:
        raise OSError(f"{url}: broke off after {have:,} of {total:,} bytes; the same command goes on from there")


def _ask(url: str, start: int) -> Optional[http.client.HTTPResponse]:
    """The server's answer for all from byte `start` on; None if there is nothing from there on."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:
            return None
        raise OSError(f"{url}: the server answers {error.code} {error.reason}") from None


def _copy(answer: http.client.HTTPResponse, part: str, start: int, total: Optional[int]) -> None:
    with open(part, "ab" if start else "wb") as out, tqdm(
            total=total, initial=start, unit="B", unit_scale=True, desc=os.path.basename(part)[:-len(_PART)],
            disable=None) as bar:
        for block in iter(lambda: answer.read(_BLOCK), b""):
            out.write(block)
            bar.update(len(block))
