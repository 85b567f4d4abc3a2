"""The dataset's files: each is written whole, and only where it is not there already."""
import json
import os
import zlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from ademxapp.data.scenes.drawing import CLASSES, cut_object, draw_scene, picture_rng
from ademxapp.files import replacing, write_json

# Names the drawings in the stamps of written sets: to be raised with any change of a picture.
DRAWING_VERSION = 4
_JPEG = {"format": "JPEG", "quality": 92}

Progress = Callable[[int, int], None]  # takes how many of a set's files are done, and of how many
File = Tuple[Tuple[Any, ...], Tuple[str, ...]]  # what a file is drawn from, and its paths


@dataclass(frozen=True)
class Demo:
    """What `write_demo` has written, with paths relative to its root.

    Attributes
    ----------
    scenes : dict
        {split: [(image path, label path), …]}
    patches : dict
        {split: [(index, class in 0 … 4, image path), …]}
    """

    scenes: Dict[str, List[Tuple[str, str]]]
    patches: Dict[str, List[Tuple[int, int, str]]]


def write_demo(root: str, palette: np.ndarray, scenes: Optional[Dict[str, int]] = None,
               patches: Optional[Dict[str, int]] = None, patch_size: int = 64, seed: int = 0,
               progress: Optional[Progress] = None) -> Demo:
    """Write the dataset `demo`: scenes to segment and patches to classify; see `write_scenes`, `write_patches`.

    `scenes` are scenes by split, by default 400 for train and 100 for val; `patches` those of each class by split, by
    default 400 and 50. `progress` is called once through for the scenes, then for the patches.
    """
    scenes = {"train": 400, "val": 100} if scenes is None else scenes
    patches = {"train": 400, "val": 50} if patches is None else patches
    return Demo(write_scenes(root, palette, scenes, seed, progress),
                write_patches(root, patches, patch_size, seed, progress))


def write_scenes(root: str, palette: np.ndarray, counts: Dict[str, int], seed: int = 0,
                 progress: Optional[Progress] = None) -> Dict[str, List[Tuple[str, str]]]:
    """Write scenes and labels: `images/<split>/00000.jpg`, `labels/<split>/00000.png` (8 bit, with the palette).

    A complete set of the same parameters is left as it is; otherwise its files are written over. Files of an earlier,
    larger set stay, so read what is returned rather than the folder.

    Parameters
    ----------
    palette : (256, 3) uint8; ValueError if not
    counts : dict
        {split: scenes}

    Returns
    -------
    dict
        {split: [(image path, label path), …]}, relative to `root`.
    """
    palette = np.asarray(palette, np.uint8)
    if palette.shape != (256, 3):
        raise ValueError(f"palette has shape {palette.shape}, want (256, 3)")

    def write_one(split: str, index: int, image_path: str, label_path: str) -> None:
        image, values = draw_scene(picture_rng(seed, split, index))
        label = Image.fromarray(values)
        label.putpalette(palette.ravel().tolist())
        _save(root, image_path, Image.fromarray(image), **_JPEG)
        _save(root, label_path, label, format="PNG")

    stamp = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed, "palette": zlib.crc32(palette.tobytes())}
    files = [((split, index), (f"images/{split}/{index:05}.jpg", f"labels/{split}/{index:05}.png"))
             for split, count in sorted(counts.items()) for index in range(count)]
    _write_set(root, "scenes.json", stamp, files, write_one, progress)
    return {split: [paths for (own, _), paths in files if own == split] for split in counts}


def write_patches(root: str, counts: Dict[str, int], size: int = 64, seed: int = 0,
                  progress: Optional[Progress] = None) -> Dict[str, List[Tuple[int, int, str]]]:
    """Write patches to classify, of `size` pixels: `patches/<split>/<class name>/00000.jpg`; {split: of each class}.

    What holds for `write_scenes` on complete and on larger sets holds here.

    Returns
    -------
    dict
        {split: [(index, class: that in `CLASSES` less one, path relative to `root`), …]}
    """
    def write_one(split: str, class_id: int, index: int, path: str) -> None:
        # Not the split alone: NumPy pads keys with zeros, so that scene i would share its numbers with (i, 0).
        patch = cut_object(picture_rng(seed, "patches/" + split, class_id, index), class_id, size)
        _save(root, path, Image.fromarray(patch), **_JPEG)

    stamp = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed, "size": size}
    files = [((split, class_id, index), (f"patches/{split}/{CLASSES[class_id]}/{index:05}.jpg",))
             for split, count in sorted(counts.items()) for class_id in range(1, len(CLASSES))
             for index in range(count)]
    _write_set(root, "patches.json", stamp, files, write_one, progress)
    own = {split: [(class_id, path) for (of, class_id, _), (path,) in files if of == split] for split in counts}
    return {split: [(i, class_id - 1, path) for i, (class_id, path) in enumerate(rows)] for split, rows in own.items()}


def _write_set(root: str, stamp_name: str, stamp: Dict[str, Any], files: Sequence[File],
               write_one: Callable[..., None], progress: Optional[Progress]) -> None:
    """Write a set's files, as far as they are not there: `write_one` takes what a file is drawn from, and its paths.

    The stamp holds what the files depend on; it is removed before the first file changes and written after the last.
    """
    path = os.path.join(root, stamp_name)
    todo = list(_missing(root, files)) if _read_stamp(path) == json.loads(json.dumps(stamp)) else files
    if not todo:
        return
    if os.path.exists(path):
        os.remove(path)
    for done, (arguments, paths) in enumerate(todo, 1):
        write_one(*arguments, *paths)
        if progress is not None:
            progress(done, len(todo))
    write_json(path, stamp)


def _missing(root: str, files: Sequence[File]) -> Iterator[File]:
    return (file for file in files if not all(os.path.exists(os.path.join(root, path)) for path in file[1]))


def _read_stamp(path: str) -> Optional[Dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as stamp:
            return json.load(stamp)
    except (FileNotFoundError, ValueError):
        return None


def _save(root: str, path: str, image: Image.Image, **options: Any) -> None:
    with replacing(os.path.join(root, path)) as temporary:
        image.save(temporary, **options)
