"""Decoding against Pillow, and labels of every depth."""
import io
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from ademxapp.data.images import ImageFile, decode_label, decode_rgb
from ademxapp.data.photographs import read_upright

HEIGHT, WIDTH = 45, 70


def picture(seed=0):
    """Smooth, with edges and noise, (HEIGHT, WIDTH, 3) uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([128 + 100 * np.sin(x / (5 + c) + seed) * np.cos(y / (4 + c)) for c in range(3)], -1)
    smooth[10:20, 15:40] = 255 - smooth[10:20, 15:40]
    return np.clip(smooth + np.random.default_rng(seed).normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


RGB = Image.fromarray(picture())
GREY = RGB.convert("L")
TURNED = Image.Exif()
TURNED[0x0112] = 6  # orientation: by 90 degrees


def encoded(image, **options):
    """The bytes of an image's file, by Pillow or, of more than 8 bits, by OpenCV (RGB, as a PNG)."""
    if isinstance(image, np.ndarray):
        return cv2.imencode(".png", image[..., [2, 1, 0, 3][:image.shape[-1]]])[1].tobytes()
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def with_alpha(image):
    image = image.copy()
    image.putalpha(GREY)
    return image


def jpeg(image=RGB, **options):
    return encoded(image, format="JPEG", **options)


def png(image=RGB, **options):
    return encoded(image, format="PNG", **options)


SAME = {  # RGB: bit for bit
    **{f"jpeg {quality} {name}": jpeg(quality=quality, subsampling=subsampling) for quality in (30, 75, 92, 100)
       for subsampling, name in enumerate(("4:4:4", "4:2:2", "4:2:0"))},
    "jpeg optimised": jpeg(optimize=True), "jpeg turned": jpeg(exif=TURNED.tobytes()),
    "jpeg restarts": jpeg(restart_marker_blocks=2), "jpeg and more": jpeg() + b"behind the end",
    "jpeg of 1 pixel": jpeg(RGB.crop((0, 0, 1, 1))), "png": png(), "png turned": png(exif=TURNED.tobytes()),
    "png with another gamma": png()[:33] + struct.pack(">I4sI", 4, b"gAMA", 22727)
    + struct.pack(">I", zlib.crc32(struct.pack(">4sI", b"gAMA", 22727))) + png()[33:],
}
NEAR = {  # within one level
    "jpeg grey": jpeg(GREY), "jpeg cmyk": jpeg(RGB.convert("CMYK")), "jpeg progressive": jpeg(progressive=True),
    "jpeg progressive grey": jpeg(GREY, progressive=True),
    "jpeg progressive 4:4:4": jpeg(progressive=True, subsampling=0),
    "png grey": png(GREY), "png grey and alpha": png(GREY.convert("LA")), "png rgba": png(with_alpha(RGB)),
    "png of bits": png(GREY.convert("1")), "png palette": png(RGB.quantize(256)),
    "png palette 4": png(RGB.quantize(16)), "png palette 2": png(RGB.quantize(4)),
    "png palette transparent": png(RGB.quantize(40), transparency=3),
    "png colour transparent": png(transparency=(128, 128, 128)), "gif": encoded(RGB, format="GIF"),
    "png rgb 16": encoded(picture().astype(np.uint16) * 257 - 77), "bmp": encoded(RGB, format="BMP"),
    "png rgba 16": encoded(np.concatenate([picture(), picture(1)[..., :1]], -1).astype(np.uint16) * 257),
    "tiff": encoded(RGB, format="TIFF"), "tiff cmyk": encoded(RGB.convert("CMYK"), format="TIFF"),
}


def as_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", [*SAME, *NEAR])
def test_pixels_are_those_of_pillow(kind):
    data = {**SAME, **NEAR}[kind]
    found, wanted = decode_rgb(data, kind), as_pillow(data)
    assert found.dtype == np.uint8 and found.shape == wanted.shape
    assert found.shape in ((HEIGHT, WIDTH, 3), (1, 1, 3))
    assert np.abs(found.astype(int) - wanted).max() <= (kind in NEAR)


@pytest.mark.parametrize("step", [1, 257])
def test_grey_of_sixteen_bits_keeps_its_high_byte(step):
    """Pillow's own conversion would make everything above 255 white."""
    values = (np.arange(256, dtype=np.uint16) * step).reshape(8, 32)
    found = decode_rgb(png(Image.fromarray(values)), "grey.png")
    np.testing.assert_array_equal(found, np.repeat((values >> 8)[..., None], 3, 2))


def tiff(values):
    return encoded(Image.fromarray(values), format="TIFF")


@pytest.mark.parametrize("values, wanted", [
    (np.float32([[0, 0.5, 1]]), [0, 128, 255]), (np.float32([[0, 100, 254.6]]), [0, 100, 255]),
    (np.int32([[0, 7, 255]]), [0, 7, 255]), (np.int32([[0, 256, 65535]]), [0, 1, 255]),
    (np.uint16([[0, 256, 65535]]), [0, 1, 255])])
def test_grey_of_other_kinds_is_never_black(values, wanted):
    np.testing.assert_array_equal(decode_rgb(tiff(values), "x.tif")[..., 1], [wanted])


@pytest.mark.parametrize("values, words", [
    (np.float32([[0, 5]]), "x.tif cannot be decoded: its pixels are floats from 0 to 5, wanted 0 … 1 or 0 … 255"),
    (np.float32([[-1, 1]]), "floats from -1 to 1"), (np.float32([[0, np.nan]]), "floats from nan to nan"),
    (np.float32([[0, np.inf]]), "floats from 0 to inf"), (np.int32([[0, 65536]]), "integers of 32 bits beyond"),
    (np.int32([[-1, 5]]), "integers of 32 bits beyond")])
def test_grey_whose_range_says_nothing_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        decode_rgb(tiff(values), "x.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_as_pillow_turns_it(tmp_path, kind, orientation):
    exif, path = Image.Exif(), str(tmp_path / "x")
    exif[0x0112] = orientation
    RGB.save(path, format=kind, exif=exif)
    np.testing.assert_array_equal(read_upright(path), np.asarray(ImageOps.exif_transpose(Image.open(path))))


def test_damaged_exif_turns_nothing():
    data = jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert ImageFile(data, "x.jpg").orientation == 1


def test_large_images_are_no_bombs_and_pillows_own_limit_stays():
    data = encoded(Image.new("1", (16000, 12000)), format="PNG")
    before, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of those that Pillow only warns of
        assert ImageFile(data, "wall.png").size == (12000, 16000)
        assert ImageFile(encoded(Image.new("1", (10000, 9000)), format="PNG"), "door.png").size == (9000, 10000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert Image.MAX_IMAGE_PIXELS == before and warnings.filters == filters


def test_importing_leaves_pillows_warnings_alone():
    code = ("import warnings, PIL.Image, cv2, numpy, isal; before = list(warnings.filters); "
            "import ademxapp.data.images; assert warnings.filters == before")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_heic_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="x.heic cannot be decoded: HEIC needs pillow-heif: pip install pillow-heif"):
        decode_rgb(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "x.heic")


def test_the_bytes_tell_the_format_and_not_the_name():
    np.testing.assert_array_equal(decode_rgb(SAME["png"], "n02105855_2933.JPEG"), picture())


@pytest.mark.data
def test_photographs_are_those_of_pillow_bit_for_bit(data_root):
    patterns = {"ilsvrc_samples/**/*.JPEG": 6, "voc12_subset/VOC2012/JPEGImages/*.jpg": 20, "camvid/val/*.jpg": 25,
                "imagenette128/val/*/*1.JPEG": 40, "cifar10/val/*/*.jpg": 200, "coco_*/**/*.jpg": 6,
                "ade20k/**/*.jpg": 1, "cityscapes/**/*_leftImg8bit.png": 4}
    for pattern, step in patterns.items():
        paths = sorted(data_root.glob(pattern))[::step]
        assert paths, pattern
        for path in paths:
            data = path.read_bytes()
            found, wanted = decode_rgb(data, str(path)), as_pillow(data)
            assert Image.open(path).mode == "L" or (found == wanted).all(), path
            assert np.abs(found.astype(int) - wanted).max() <= 1, path


# Labels


def label_png(rows, bits, palette):
    """The file of indices (H, W) with so many bits each, written out by hand."""
    depth = np.unpackbits(rows.astype(">u2").view(np.uint8).reshape(*rows.shape, 2), axis=-1)[..., 16 - bits:]
    lines = b"".join(b"\0" + np.packbits(line).tobytes() for line in depth)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, 3 if palette else 0, 0, 0, 0)),
              (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    if palette:
        chunks.insert(1, (b"PLTE", np.random.default_rng(0).bytes(3 << min(bits, 8))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + kind + data
                                           + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)


@pytest.mark.parametrize("bits, palette", [(1, False), (2, False), (4, False), (8, False), (16, False), (1, True),
                                           (2, True), (4, True), (8, True)])
def test_labels_are_the_values_in_the_file(bits, palette):
    """Pillow itself makes 0, 85, 170, 255 of the 0, 1, 2, 3 of a grey file with two bits."""
    rows = np.arange(3 << bits).reshape(3, -1)[:, :500] % (1 << bits)
    found = decode_label(label_png(rows, bits, palette), "label.png")
    assert found.dtype == (np.int32 if bits == 16 else np.uint8)
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize("data, words", [
    (SAME["png"], "it has RGB pixels, wanted one index per pixel"), (png(with_alpha(RGB)), "it has RGBA pixels"),
    (png(GREY.convert("LA")), "it has LA pixels"), (jpeg(GREY), "JPEG does not keep values, wanted PNG"),
    (b"", "the file is empty"), (label_png(np.eye(40), 4, False)[:-30], "cannot be decoded")])
def test_what_has_no_indices_is_an_error_that_names_it(data, words):
    with pytest.raises(ValueError, match=f"some/label.png .*{words}"):
        decode_label(data, "some/label.png")


def test_damaged_labels_give_a_map_or_a_valueerror():
    rng, whole = np.random.default_rng(0), label_png(np.arange(600).reshape(20, 30) % 4, 2, False)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        try:
            assert decode_label(bytes(data), "x.png").ndim == 2
        except ValueError as error:
            assert "x.png" in str(error)
