"""Resizing of images with the original's choice of filter."""
from PIL import Image

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}

def choose_filter(source, target):
    """The original's adaptive filter for sizes (h, w): Lanczos where both sides shrink, bicubic where both grow.

    Returns bilinear where one shrinks and the other grows, or one stays.
    """
    changes = [(t > s) - (t < s) for s, t in zip(source, target)]
    if changes == [-1, -1]:
        return Image.LANCZOS
    return Image.BICUBIC if changes == [1, 1] else Image.BILINEAR


def resize(image, size, box=None, interpolation="adaptive"):
    """Resize a PIL image to `size` (h, w); `box` (left, top, right, bottom, in pixels) is the part to take.

    `interpolation` is "adaptive" (`choose_filter`) or one of `FILTERS`. An image that has the size already is returned
    as it is.
    """
    left, top, right, bottom = box or (0, 0, image.width, image.height)
    source = (bottom - top, right - left)
    if box is None and source == tuple(size):
        return image
    method = choose_filter(source, size) if interpolation == "adaptive" else FILTERS[interpolation]
    return image.resize((size[1], size[0]), method, box)


def scaled_size(size, target, longer):
    """(h, w) in the proportions of `size`, with its longer (or shorter) side equal to `target`, at least 1 pixel."""
    side = max(size) if longer else min(size)
    return tuple(target if s == side else max(1, round(s * target / side)) for s in size)
