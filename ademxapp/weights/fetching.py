"""Fetching a file from a mirror of the user's choice; it takes its name only when its MD5 is right."""
import http.client
import os
import urllib.error
import urllib.request
from typing import Optional
from urllib.parse import quote, urlsplit

from tqdm import tqdm

from ademxapp.weights.released import md5_of

_BLOCK = 2 ** 18
_TIMEOUT = 60  # seconds without a byte
_PART = ".part"  # beside the file's name, of what has come so far


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
