"""Pictures of results: correctness, and sheets as in the paper's Figures 5 to 11."""
import numpy as np
from PIL import Image, ImageDraw

RIGHT, WRONG, IGNORED = 127, 0, 255
GAP, CAPTION = 6, 16


def correct_picture(truth, predicted, classes):
    """(H, W) uint8: 127 where the prediction is right, 0 where it is wrong, 255 where the truth does not count."""
    picture = np.where(truth == predicted, RIGHT, WRONG).astype(np.uint8)
    picture[truth >= classes] = IGNORED
    return picture


def contact_sheet(rows, captions, height=180):
    """A sheet of pictures, one row of pictures for each example.

    Parameters
    ----------
    rows : list of list of ndarray
        (H, W, 3) or (H, W) uint8 each; scaled to `height` pixels, without mixing colours where they are few.
    captions : list of str
        Of the columns.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.
    """
    pictures = [[_at_height(picture, height) for picture in row] for row in rows]
    widths = [max(picture.width for picture in column) for column in zip(*pictures)]
    size = sum(widths) + GAP * (len(widths) + 1), CAPTION + (height + GAP) * len(rows) + GAP
    sheet = Image.new("RGB", size, "white")
    draw, left = ImageDraw.Draw(sheet), GAP
    for column, (width, caption) in enumerate(zip(widths, captions)):
        draw.text((left, 2), caption, fill="black")
        for row, line in enumerate(pictures):
            sheet.paste(line[column], (left, CAPTION + GAP + row * (height + GAP)))
        left += width + GAP
    return np.asarray(sheet)


def _at_height(picture, height):
    image = Image.fromarray(picture).convert("RGB")
    few_colours = image.getcolors(64) is not None
    method = Image.NEAREST if few_colours else Image.LANCZOS
    return image.resize((max(1, round(image.width * height / image.height)), height), method)
