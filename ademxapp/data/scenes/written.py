"""The dataset's files: each is written whole, and only where it is not there already."""
import json
import os
import zlib
from collections import namedtuple

import numpy as np
from PIL import Image

from ademxapp.data.scenes.drawing import CLASSES, cut_object, draw_scene, picture_rng

# Names the drawings in the stamps of written sets: to be raised with any change of a picture.
DRAWING_VERSION = 4
_JPEG_QUALITY = 92

Demo = namedtuple("Demo", "scenes patches")
Demo.__doc__ = """What `write_demo` has written, with paths relative to its root and "/" as separator.

Attributes
----------
scenes : dict of str to list of (image path, label path), by split
patches : dict of str to list of (index, class in 0..4, image path), by split
"""


def _save(root, path, image, **options):
    target = os.path.join(root, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # A name of its own, so that neither an interruption nor a second process leaves half a file.
    temporary = "{}.{}.tmp".format(target, os.getpid())
    image.save(temporary, **options)
    os.replace(temporary, target)


def _write_set(root, stamp_name, parameters, list_files, write_one, progress):
    """Write the files of one set unless they are there.

    The stamp holds the parameters of the files; it is removed before the first file changes and written after
    the last. `list_files(parameters)` yields (arguments of `write_one`, paths).
    """
    stamp_path = os.path.join(root, stamp_name)
    # As read back from the file: tuples become lists.
    parameters = json.loads(json.dumps(parameters))
    try:
        with open(stamp_path) as stamp:
            written = json.load(stamp)
    except (FileNotFoundError, ValueError):
        written = None
    files = list(list_files(parameters))
    if written == parameters:
        todo = [f for f in files if not all(os.path.exists(os.path.join(root, path)) for path in f[1])]
    else:
        todo = files
    if not todo:
        return files
    if os.path.exists(stamp_path):
        os.remove(stamp_path)
    for done, (arguments, paths) in enumerate(todo, 1):
        write_one(*arguments, *paths)
        if progress is not None:
            progress(done, len(todo))
    temporary = "{}.{}.tmp".format(stamp_path, os.getpid())
    with open(temporary, "w") as stamp:
        json.dump(parameters, stamp, indent=1, sort_keys=True)
    os.replace(temporary, stamp_path)
    return files


def _list_scenes(parameters):
    for split, count in sorted(parameters["counts"].items()):
        for index in range(count):
            name = "{}/{:05d}".format(split, index)
            yield (split, index), ("images/" + name + ".jpg", "labels/" + name + ".png")


def _list_patches(parameters):
    for split, count in sorted(parameters["counts"].items()):
        for class_id in range(1, len(CLASSES)):
            for index in range(count):
                path = "patches/{}/{}/{:05d}.jpg".format(split, CLASSES[class_id], index)
                yield (split, class_id, index), (path,)


def write_scenes(root, palette, counts, seed=0, progress=None):
    """Write scenes and labels: `images/<split>/00000.jpg`, `labels/<split>/00000.png` (8 bit, with palette).

    A complete set of the same parameters is left as it is; otherwise its files are written over. Files of an
    earlier, larger set stay, so read what is returned rather than the folder.

    Parameters
    ----------
    root : str
    palette : array_like of uint8, (256, 3)
    counts : dict of str to int
        Number of scenes by split.
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do) after each scene.

    Returns
    -------
    dict of str to list of (str, str)
        By split: paths of image and label, relative to `root`.

    Raises
    ------
    ValueError
        If the palette is of another shape.
    """
    palette = np.asarray(palette, np.uint8)
    if palette.shape != (256, 3):
        raise ValueError("palette has shape {}, want (256, 3)".format(palette.shape))
    colours = palette.ravel().tolist()

    def write_one(split, index, image_path, label_path):
        image, label = draw_scene(picture_rng(seed, split, index))
        label = Image.fromarray(label)
        label.putpalette(colours)
        _save(root, image_path, Image.fromarray(image), format="JPEG", quality=_JPEG_QUALITY)
        _save(root, label_path, label, format="PNG")

    parameters = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed,
                  "palette": zlib.crc32(palette.tobytes())}
    files = _write_set(root, "scenes.json", parameters, _list_scenes, write_one, progress)
    pairs = {split: [] for split in counts}
    for (split, _), paths in files:
        pairs[split].append(paths)
    return pairs


def write_patches(root, counts, size=64, seed=0, progress=None):
    """Write patches to classify: `patches/<split>/<class name>/00000.jpg`.

    What holds for `write_scenes` on complete and on larger sets holds here.

    Parameters
    ----------
    root : str
    counts : dict of str to int
        Number of patches of each class by split.
    size : int
        Height and width in pixels.
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do) after each patch.

    Returns
    -------
    dict of str to list of (int, int, str)
        By split: running index, class (index into `CLASSES` less one) and path relative to `root`.
    """
    def write_one(split, class_id, index, path):
        # Not the split alone: NumPy pads keys with zeros, so that scene i would share its numbers with (i, 0).
        patch = cut_object(picture_rng(seed, "patches/" + split, class_id, index), class_id, size)
        _save(root, path, Image.fromarray(patch), format="JPEG", quality=_JPEG_QUALITY)

    parameters = {"drawing": DRAWING_VERSION, "counts": counts, "seed": seed, "size": size}
    files = _write_set(root, "patches.json", parameters, _list_patches, write_one, progress)
    samples = {split: [] for split in counts}
    for (split, class_id, _), (path,) in files:
        samples[split].append((len(samples[split]), class_id - 1, path))
    return samples


def write_demo(root, palette, scenes=None, patches=None, patch_size=64, seed=0, progress=None):
    """Write the dataset `demo`: scenes to segment and patches to classify; see `write_scenes`, `write_patches`.

    Parameters
    ----------
    root : str
    palette : array_like of uint8, (256, 3)
    scenes : dict of str to int, optional
        Number of scenes by split; by default 400 for train and 100 for val.
    patches : dict of str to int, optional
        Number of patches of each class by split; by default 400 for train and 50 for val.
    patch_size : int
    seed : int, not negative
    progress : callable, optional
        Called with (files done, files to do), once through for the scenes, then for the patches.

    Returns
    -------
    Demo
    """
    scenes = {"train": 400, "val": 100} if scenes is None else scenes
    patches = {"train": 400, "val": 50} if patches is None else patches
    return Demo(scenes=write_scenes(root, palette, scenes, seed, progress),
                patches=write_patches(root, patches, patch_size, seed, progress))
