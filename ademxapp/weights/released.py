"""The weights that the authors released in 2016 and 2017, with their scores, and fetching; those that come with us."""
import http.client
import os
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple
from urllib.parse import quote, urlsplit

from tqdm import tqdm

import ademxapp
from ademxapp.data.dataset_file import as_annotated
from ademxapp.files import digest, read_yaml

PATH = os.path.join(os.path.dirname(__file__), "released.yaml")
_BLOCK = 2 ** 18
_TIMEOUT = 60  # seconds without a byte
_PART = ".part"  # beside the file's name, of what has come so far


@dataclass(frozen=True)
class Released:
    """A released file."""

    label: str  # names the dataset, the network, the number of classes and the stride
    md5: str
    scores: Tuple[Tuple[str, float], ...]  # (name, percent) on the validation set, by the published command
    program: str
    settings: Dict[str, Any]  # that command's: {flag without dashes: value, true for a flag alone}
    head: Optional[str] = None  # of a segmentation network: see `ademxapp.symbol.heads`

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.label}_ep-0001.params"

    @property
    def command(self) -> str:
        """The published command."""
        flags = [f"--{flag}" if value is True else f"--{flag} {value}" for flag, value in self.settings.items()]
        return " ".join(["python", self.program, *flags])


RELEASED = tuple(as_annotated(Released, each, PATH) for each in read_yaml(PATH))
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


def fetch(base: str, name: str, folder: str, md5: str) -> None:
    """Fetch `base`/`name` into `folder`; what an earlier try left there is completed where the server can do that.

    ValueError if `base` is no http(s) address, or the MD5 of what came is another: it is removed then. OSError if the
    transfer fails; what came stays, for the next try.
    """
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).netloc:
        raise ValueError(f"{base!r} is no address: wanted http://… or https://…")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    _transfer(f"{base.rstrip('/')}/{quote(name)}", path + _PART)
    got = digest(path + _PART, "md5")
    if got != md5:
        os.unlink(path + _PART)
        raise ValueError(f"{name} from {base} has MD5 {got}, wanted {md5}: removed; try another mirror")
    os.replace(path + _PART, path)


def _transfer(url: str, part: str) -> None:
    start = os.path.getsize(part) if os.path.exists(part) else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            start = start if answer.status == 206 else 0  # else the server sends all of it
            length = answer.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            with open(part, "ab" if start else "wb") as out, tqdm.wrapattr(
                    out, "write", total, bytes=False, initial=start, unit="B", unit_scale=True, disable=None,
                    desc=os.path.basename(part)[:-len(_PART)]) as counted:
                shutil.copyfileobj(answer, counted, _BLOCK)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # nothing is missing, or the part is not of this file, as its MD5 will tell
            return
        raise OSError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(f"{url}: {getattr(error, 'reason', None) or error}") from None
    have = os.path.getsize(part)
    if total is not None and have != total:
        raise OSError(f"{url}: broke off after {have:,} of {total:,} bytes; the same command goes on from there")
