"""Lists, decoding, transforms and crops, against Pillow and slow references in NumPy."""
import io

import numpy as np
import pytest
from PIL import Image

from ademxapp.data import transforms
from ademxapp.data.dataset_file import full_palette, voc_palette
from ademxapp.data.images import decode_label, decode_rgb, stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.transforms import choose_filter, resize, scaled_size
from ademxapp.symbol import network
from iclass.datasets import TestImages, TrainImages
from issegm.datasets import DATASETS, SegmentationDataset, TrainCrops, read_pair

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SETTINGS = network("rna-a1").input
BITS = SegmentationDataset("bits", ("a", "b", "c"), label_ids=(7, 3, 20), ignored_ids=(0, 255))


def photograph(height=61, width=83, seed=0):
    """Something smooth with some detail, (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (7 + c) + seed) * np.cos(y / (5 + 2 * c)) for c in range(3)]
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    return np.clip(128 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


def encoded(image, **options):
    """The bytes of a PIL image's file."""
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def files():
    """{kind of file: bytes} of all that decode_rgb must know."""
    rgb = Image.fromarray(photograph())
    grey = rgb.convert("L")
    alpha = rgb.copy()
    alpha.putalpha(grey)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    jpeg = {"format": "JPEG", "quality": 85}
    return {
        "jpeg": encoded(rgb, **jpeg), "jpeg 4:4:4": encoded(rgb, subsampling=0, **jpeg),
        "jpeg progressive": encoded(rgb, progressive=True, **jpeg), "jpeg grey": encoded(grey, **jpeg),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), **jpeg), "jpeg turned": encoded(rgb, exif=exif.tobytes(), **jpeg),
        "jpeg and more": encoded(rgb, **jpeg) + b"trailing bytes",
        "png": encoded(rgb, format="PNG"), "png grey": encoded(grey, format="PNG"),
        "png grey alpha": encoded(grey.convert("LA"), format="PNG"), "png rgba": encoded(alpha, format="PNG"),
        "png palette": encoded(rgb.quantize(40), format="PNG"),
        "png palette transparent": encoded(rgb.quantize(40), format="PNG", transparency=3),
        "png bits": encoded(grey.convert("1"), format="PNG"), "gif": encoded(rgb, format="GIF"),
        "bmp": encoded(rgb, format="BMP"), "tiff": encoded(rgb, format="TIFF"),
        "webp": encoded(rgb, format="WEBP", lossless=True),
    }


FILES = files()


@pytest.mark.parametrize("kind", FILES)
def test_images_decode_as_pillow_converts_them(kind):
    found = decode_rgb(FILES[kind], kind)
    wanted = np.asarray(Image.open(io.BytesIO(FILES[kind])).convert("RGB"))
    assert found.dtype == np.uint8 and found.shape == (61, 83, 3)
    # Two builds of libjpeg may round the conversion of colours differently.
    np.testing.assert_allclose(found.astype(int), wanted, atol=2 if kind.startswith("jpeg") else 0)


@pytest.mark.data
def test_photographs_decode_as_pillow_converts_them(data_root):
    paths = sorted((data_root / "ilsvrc_samples").rglob("*.JPEG"))[::4] + \
        sorted((data_root / "voc12_subset" / "VOC2012" / "JPEGImages").glob("*.jpg"))[::30]
    assert len(paths) > 15
    for path in paths:
        wanted = np.asarray(Image.open(path).convert("RGB")).astype(int)
        found = decode_rgb(path.read_bytes(), str(path))
        assert found.shape == wanted.shape, path
        assert np.abs(found - wanted).max() <= 2, path


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "jpeg grey", "png", "png palette", "gif", "tiff", "webp"])
def test_a_file_cut_short_is_an_error_that_names_it(kind):
    whole = FILES[kind]
    for length in {0, 1, 2, 10, 20, 40, *range(60, len(whole) - 30, len(whole) // 40)}:
        with pytest.raises(ValueError, match="some/image cannot be decoded: .+"):
            decode_rgb(whole[:length], "some/image")


@pytest.mark.parametrize("data", [b"", b"no image at all" * 10, b"\xff\xd8\xff\xe0" + b"\0" * 50],
                         ids=["empty", "text", "header"])
def test_what_is_no_image_is_an_error_that_names_it(data):
    for decode in (decode_rgb, decode_label):
        with pytest.raises(ValueError, match="some/image cannot be decoded: .+"):
            decode(data, "some/image")


def test_damaged_files_give_an_image_or_a_valueerror():
    """Whatever the bytes, no other exception gets out: a driver would not report it in one line."""
    rng = np.random.default_rng(0)
    for kind in ("jpeg", "png", "png palette", "gif", "tiff", "webp", "bmp"):
        for _ in range(40):
            data = bytearray(FILES[kind])
            for place in rng.integers(0, min(len(data), 400), 6):
                data[place] = rng.integers(256)
            try:
                assert decode_rgb(bytes(data), kind).ndim == 3
            except ValueError as error:
                assert kind in str(error)


def test_grey_of_sixteen_bits_keeps_its_range():
    levels = np.arange(0, 256, 5, dtype=np.uint16).reshape(4, 13)
    found = decode_rgb(encoded(Image.fromarray(levels * 256 + 99), format="PNG"), "x.png")
    np.testing.assert_array_equal(found, np.repeat(levels[..., None], 3, 2))


def test_labels_are_the_indices_of_a_palette_or_the_values_of_a_grey_image(tmp_path):
    label = np.random.default_rng(0).choice([0, 1, 20, 255], (9, 14)).astype(np.uint8)
    write_png(str(tmp_path / "palette.png"), label, voc_palette())
    write_png(str(tmp_path / "grey.png"), label)
    assert Image.open(tmp_path / "palette.png").mode == "P"
    for name in ("palette.png", "grey.png"):
        np.testing.assert_array_equal(decode_label((tmp_path / name).read_bytes(), name), label)
    wide = encoded(Image.fromarray(np.array([[0, 7, 40000]], np.uint16)), format="PNG")
    np.testing.assert_array_equal(decode_label(wide, "wide.png"), [[0, 7, 40000]])


def test_a_colour_image_is_no_label_map():
    with pytest.raises(ValueError, match="truth.png is no label map: it has RGB pixels"):
        decode_label(FILES["png"], "truth.png")


def test_palette_is_that_of_pascal_voc():
    palette = voc_palette()
    known = {0: (0, 0, 0), 1: (128, 0, 0), 7: (128, 128, 128), 15: (192, 128, 128), 20: (0, 64, 128),
             255: (224, 224, 192)}  # of VOCdevkit's own files
    assert {index: tuple(palette[index].tolist()) for index in known} == known
    mixed = full_palette(((1, 2, 3),))
    assert tuple(mixed[0]) == (1, 2, 3) and tuple(mixed[1]) == known[1] and tuple(mixed[255]) == (255, 255, 255)


# Resizing


@pytest.mark.parametrize("source, target, method", [
    ((50, 60), (40, 30), Image.LANCZOS), ((50, 60), (51, 90), Image.BICUBIC), ((50, 60), (51, 59), Image.BILINEAR),
    ((50, 60), (50, 90), Image.BILINEAR), ((50, 60), (50, 30), Image.BILINEAR)])
def test_filter_follows_the_direction(source, target, method):
    assert choose_filter(source, target) == method
    image = Image.fromarray(photograph(*source))
    wanted = np.asarray(image.resize(target[::-1], method))
    np.testing.assert_array_equal(np.asarray(resize(image, target)), wanted)
    cubic = np.asarray(image.resize(target[::-1], Image.BICUBIC))
    np.testing.assert_array_equal(np.asarray(resize(image, target, interpolation="bicubic")), cubic)


@pytest.mark.parametrize("size, target, longer, wanted", [
    ((375, 500), 500, True, (375, 500)), ((333, 500), 250, True, (166, 250)),  # 166.5 goes to the even number
    ((500, 335), 250, True, (250, 168)), ((375, 500), 320, False, (320, 427)), ((1, 1000), 100, True, (1, 100))])
def test_scaled_sizes_keep_proportions_and_round_half_to_even(size, target, longer, wanted):
    assert scaled_size(size, target, longer) == wanted


# Crops of classification


def test_random_crops_have_the_areas_and_aspects_asked_for():
    rng = np.random.default_rng(0)
    height, width = 500, 600
    boxes = np.array([transforms.random_sized_crop(rng, (height, width)) for _ in range(3000)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= width and bottom.max() <= height
    area, aspect = (right - left) * (bottom - top) / (height * width), (right - left) / (bottom - top)
    assert 0.075 < area.min() < 0.1 and 0.9 < area.max() <= 1.0
    assert 0.74 < aspect.min() < 0.78 and 1.28 < aspect.max() < 1.35
    assert left.min() == 0 and right.max() == width and top.min() == 0 and bottom.max() == height
    # Areas are drawn evenly; only large ones are drawn again where they do not fit.
    counts = np.histogram(area, bins=[0.08, 0.2, 0.32, 0.44])[0]
    assert np.ptp(counts) < 5 * np.sqrt(counts.mean())


def test_random_crop_of_a_strip_is_its_centred_square():
    assert transforms.random_sized_crop(np.random.default_rng(0), (10, 2001)) == (996, 0, 1006, 10)


@pytest.mark.parametrize("size, crop, box", [((8, 8), 8, (0, 0, 8, 8)), ((8, 11), 8, (2, 0, 10, 8)),
                                             ((13, 10), 10, (0, 2, 10, 12)), ((9, 9), 4, (3, 3, 7, 7))])
def test_centre_rounds_up(size, crop, box):
    assert transforms.centre_box(size, crop) == box


def test_an_image_smaller_than_the_crop_is_an_error():
    with pytest.raises(ValueError, match="33x50 pixels is smaller than the crop of 40"):
        transforms.centre_box((33, 50), 40)


def test_three_boxes_lie_along_the_longer_side():
    assert transforms.three_boxes((6, 11), 6) == [(0, 0, 6, 6), (3, 0, 9, 6), (5, 0, 11, 6)]
    assert transforms.three_boxes((11, 6), 6) == [(0, 0, 6, 6), (0, 3, 6, 9), (0, 5, 6, 11)]


# Colours


class Draws:
    """Stands in for a Generator: gives what it is told, in the order of the calls."""

    def __init__(self, order, factors, lights):
        self.order, self.factors, self.lights = order, np.asarray(factors), np.asarray(lights)

    def permutation(self, count):
        assert count == len(self.order)
        return np.array(self.order)

    def uniform(self, low, high, count):
        assert count == len(self.factors) and (low <= self.factors - 1).all() and (self.factors - 1 <= high).all()
        return self.factors - 1

    def normal(self, mean, std, count):
        return mean + std * self.lights[:count]


def jitter_step_by_step(pixels, order, factors, lights, strength):
    """Gross and Wilber's colours, one whole image after the other, with the original's division by 1 + alpha_std."""
    image = pixels.astype(np.float64) / 255
    for change, factor in zip(order, factors):
        grey = image @ [0.299, 0.587, 0.114]
        other = [np.zeros_like(image), np.full_like(image, grey.mean()), np.repeat(grey[..., None], 3, -1)][change]
        image = factor * image + (1 - factor) * other
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    values = np.array([0.2175, 0.0188, 0.0045])
    for channel in range(3):
        image[..., channel] += sum(vectors[channel, k] * strength * lights[k] * values[k] for k in range(3))
    return ((image / (1 + strength) - MEAN) / STD).transpose(2, 0, 1)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_colours_in_one_step_are_those_of_all_steps(order):
    pixels, factors, lights = photograph(20, 30), (0.63, 1.37, 1.11), (0.7, -1.9, 0.4)
    colours = transforms.jittered_normalisation(Draws(order, factors, lights), pixels, MEAN, STD)
    found = transforms.apply_colour_map(pixels, *colours)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, jitter_step_by_step(pixels, order, factors, lights, 0.1), atol=1e-5)


def test_normalisation_is_that_of_the_networks():
    pixels = photograph(5, 7)
    found = transforms.apply_colour_map(pixels, *transforms.normalisation(MEAN, STD))
    np.testing.assert_allclose(found, ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1), atol=1e-6)


# Images for classification


@pytest.fixture
def picture(tmp_path):
    """A lossless image of 61x83 pixels and its sample."""
    write_png(str(tmp_path / "x.png"), photograph())
    return photograph(), Sample(str(tmp_path), "x.png", 4)


def test_a_training_image_is_a_resized_part_in_the_asked_size(picture):
    data, class_id = TrainImages([picture[1]], 32, SETTINGS).load(0, np.random.default_rng(3))
    assert data.shape == (3, 32, 32) and data.dtype == np.float32 and class_id == 4
    again, _ = TrainImages([picture[1]], 32, SETTINGS).load(0, np.random.default_rng(3))
    other, _ = TrainImages([picture[1]], 32, SETTINGS).load(0, np.random.default_rng(4))
    np.testing.assert_array_equal(data, again)
    assert np.abs(data - other).max() > 0.5


@pytest.mark.parametrize("crops, crop, corners", [
    ("centre", None, [(7, 0)]), ("centre", 24, [(15, 8)]), ("three", None, [(0, 0), (7, 0), (14, 0)]),
    ("five", 24, [(0, 0), (30, 0), (0, 16), (30, 16), (15, 8)])])
def test_test_images_are_scaled_by_the_shorter_side_and_cut(picture, crops, crop, corners):
    pixels, sample = picture
    dataset = TestImages([sample, sample], 40, SETTINGS, crops, crop=crop)
    scaled = np.asarray(Image.fromarray(pixels).resize((54, 40), Image.LANCZOS))  # 83 * 40 / 61 = 54.4
    side = crop or 40
    data, class_id = dataset.load(1, None)
    assert len(dataset) == 2 and data.shape == dataset.data_shape == (len(corners), 3, side, side)
    for view, (left, top) in zip(data, corners):
        wanted = ((scaled[top:top + side, left:left + side] / 255 - MEAN) / STD).transpose(2, 0, 1)
        np.testing.assert_allclose(view, wanted, atol=1e-5)
    assert class_id == 4 and dataset.describe(1) == sample.image_path


# Crops of segmentation


def slow_crop(image, label, size, top, left, crop, stride):
    """Resize all, paste it on a canvas of the mean colour, cut, and take the labels at the cells' centres."""
    height, width = size
    method = choose_filter(image.shape[:2], size)
    scaled = np.asarray(Image.fromarray(image).resize((width, height), method))
    indices = np.asarray(Image.fromarray(label).resize((width, height), Image.NEAREST))
    border = crop + stride
    canvas = np.empty((height + 2 * border, width + 2 * border, 3), np.uint8)
    canvas[:] = (123, 116, 103)
    truth = np.full(canvas.shape[:2], 255, np.uint8)
    canvas[border:border + height, border:border + width] = scaled
    truth[border:border + height, border:border + width] = indices
    rows, columns = slice(border + top, border + top + crop), slice(border + left, border + left + crop)
    cut = truth[rows, columns]
    return canvas[rows, columns], cut[stride // 2::stride, stride // 2::stride]


def undone(data):
    """A network's input as pixels, (H, W, 3)."""
    return (data.transpose(1, 2, 0) * STD + MEAN) * 255


class Fixed:
    """Stands in for a Generator: one factor, then the given integers (top, left, and whether not to mirror)."""

    def __init__(self, factor, *integers):
        self.factor, self.integers, self.spreads = factor, list(integers), []

    def uniform(self, low, high):
        assert low <= self.factor <= high
        return self.factor

    def integers(self, high):
        raise NotImplementedError

    def __getattribute__(self, name):
        if name != "integers":
            return object.__getattribute__(self, name)

        def draw(high):
            self.spreads.append(high)
            return min(object.__getattribute__(self, "integers").pop(0), high - 1)
        return draw


@pytest.fixture
def scene(tmp_path):
    """Image and label of 60x80 pixels; sizes that scale without rounding."""
    image = photograph(60, 80)
    ids = np.array(BITS.label_ids + (255,), np.uint8)
    label = ids[np.random.default_rng(0).integers(0, 4, (60, 80))]
    write_png(str(tmp_path / "x.png"), image)
    write_png(str(tmp_path / "t.png"), label)
    classes = np.select([label == value for value in BITS.label_ids], range(3), 255).astype(np.uint8)
    return image, classes, Sample(str(tmp_path), "x.png", label_image="t.png")


@pytest.mark.parametrize("factor, place", [
    (0.8, (0, 0)), (0.8, (5, 9)), (0.8, (99, 99)), (1.0, (0, 20)), (1.0, (13, 0)), (1.6, (0, 0)), (1.6, (30, 7)),
    (1.6, (999, 999))])  # scales at which no cell's centre falls on the border of two pixels
@pytest.mark.parametrize("mirrored", [False, True])
def test_segmentation_crops_are_those_of_the_slow_way(scene, factor, place, mirrored):
    image, label, sample = scene
    crop, stride = 56, 8
    dataset = TrainCrops([sample], BITS, SETTINGS, stride, crop, origin_size=80, rates=(0.8, 1.6))
    rng = Fixed(factor, *place, 0 if mirrored else 1)
    data, cells = dataset.load(0, rng)
    size = round(60 * factor), round(80 * factor)
    top, left = (min(p, s - 1) - stride // 2 for p, s in zip(place, rng.spreads))
    pixels, truth = slow_crop(image, label, size, top, left, crop, stride)
    if mirrored:
        pixels, truth = pixels[:, ::-1], truth[:, ::-1]
    assert data.shape == (3, crop, crop) and cells.shape == (49,) and cells.dtype == np.float32
    np.testing.assert_allclose(undone(data), pixels, atol=1.01)  # rounding of a resized pixel
    np.testing.assert_array_equal(cells.reshape(7, 7), truth)


def test_crops_reach_both_ends_of_the_image_and_are_mirrored_half_of_the_time(scene):
    """The cells' centres, half a cell inside the crop, see the first and the last pixel; padding stays below a cell."""
    image, label, sample = scene
    dataset = TrainCrops([sample], BITS, SETTINGS, 8, 56, origin_size=80, rates=(1.0, 1.0))
    padding = undone(np.zeros((3, 1, 1), np.float32))[0, 0].astype(int)
    before, behind, same = set(), set(), 0
    truths = {tuple(label[r + 4:r + 60:8, c + 4:c + 60:8].reshape(-1)) for r in range(5) for c in range(25)}
    for seed in range(300):
        data, cells = dataset.load(0, np.random.default_rng(seed))
        padded = (np.abs(undone(data) - padding) < 1.5).all(2).all(1)  # rows
        before.add(int(np.argmin(padded)))
        behind.add(int(np.argmin(padded[::-1])))
        same += tuple(cells) in truths
    assert before == behind == {0, 1, 2, 3, 4}
    assert 0 < same < 300  # some lie inside, plain and mirrored


def test_class_crops_lie_over_pixels_of_all_classes_alike(tmp_path):
    """One pixel in 4,800 is of class b: nearly no crop sees it, but as many as of the other classes do if asked to."""
    ids = np.full((60, 80), 7, np.uint8)
    ids[:, 40:], ids[47, 66] = 20, 3
    write_png(str(tmp_path / "x.png"), photograph(60, 80))
    write_png(str(tmp_path / "t.png"), ids)
    sample = Sample(str(tmp_path), "x.png", label_image="t.png")

    def seen(class_crops):
        dataset = TrainCrops([sample], BITS, SETTINGS, 1, 8, 80, (1.0, 1.0), class_crops=class_crops)
        crops = [dataset.load(0, np.random.default_rng(seed))[1] for seed in range(300)]
        return [np.mean([(cells == one).any() for cells in crops]) for one in range(3)], crops

    shares, plain = seen(0)
    assert shares[1] < 0.1
    shares, over = seen(1)
    assert 0.25 < shares[1] < 0.42 and shares[0] > 0.3 and shares[2] > 0.3
    places = {tuple(np.argwhere(cells.reshape(8, 8) == 1)[0]) for cells in over if (cells == 1).any()}
    assert len(places) > 30  # anywhere in the crop
    shares, _ = seen(0.5)
    assert 0.1 < shares[1] < 0.25


def test_class_crops_of_an_image_without_a_label_that_counts_lie_anywhere(tmp_path):
    write_png(str(tmp_path / "x.png"), photograph(60, 80))
    write_png(str(tmp_path / "t.png"), np.full((60, 80), 255, np.uint8))
    dataset = TrainCrops([Sample(str(tmp_path), "x.png", label_image="t.png")], BITS, SETTINGS, 8, 96, 80,
                         class_crops=1)
    assert (dataset.load(0, np.random.default_rng(0))[1] == 255).all()


def test_jitter_changes_the_colours_and_nothing_else(scene):
    *_, sample = scene
    options = [sample], BITS, SETTINGS, 8, 56, 80, (1.0, 1.0)
    plain, jittered = TrainCrops(*options), TrainCrops(*options, jitter=0.3)
    ratios = []
    for seed in range(40):
        (data, cells), (changed, same) = (one.load(0, np.random.default_rng(seed)) for one in (plain, jittered))
        np.testing.assert_array_equal(cells, same)
        ratios.append(undone(changed).mean() / undone(data).mean())
    assert 0.69 < min(ratios) < 0.85 and 1.15 < max(ratios) < 1.31


def test_scales_are_drawn_from_the_whole_range(scene):
    *_, sample = scene
    dataset = TrainCrops([sample], BITS, SETTINGS, 8, 160, origin_size=80)
    widths = []
    for seed in range(200):
        data, _ = dataset.load(0, np.random.default_rng(seed))
        columns = (np.abs(undone(data) - (123, 116, 103)) > 1.5).any(2).any(0)
        widths.append(columns.sum())
    # 0.7 to 1.3 times 80; the crop may cut up to half a cell from either end.
    assert 52 <= min(widths) <= 60 and 98 <= max(widths) <= 104 and 74 < np.mean(widths) < 82


def test_labels_outside_the_classes_name_the_file_and_the_value(scene, tmp_path):
    *_, sample = scene
    label = np.full((60, 80), 7, np.uint8)
    label[3, 4] = 9
    write_png(str(tmp_path / "t.png"), label)
    with pytest.raises(ValueError, match=r"t\.png has label 9, which is no class of bits \(known: 3, 7, 20; ignored: "):
        read_pair(sample, BITS)


@pytest.mark.parametrize("value", [300, 65535])
def test_labels_beyond_a_byte_are_outside_too(value):
    with pytest.raises(ValueError, match=f"wide.png has label {value}"):
        BITS.to_classes(np.array([[7, value]], np.int32), "wide.png")


def test_label_and_image_of_two_sizes_name_the_file(scene, tmp_path):
    *_, sample = scene
    write_png(str(tmp_path / "t.png"), np.full((60, 79), 7, np.uint8))
    with pytest.raises(ValueError, match=r"t\.png has 79x60 pixels, its image 80x60"):
        read_pair(sample, BITS)


@pytest.mark.parametrize("name", DATASETS)
def test_ids_of_a_dataset_come_back(name):
    record = DATASETS[name]
    classes = np.arange(record.classes, dtype=np.uint8)
    ids = record.to_label_ids(classes)
    np.testing.assert_array_equal(record.to_classes(ids, name), classes)
    assert (record.to_classes(np.array(record.ignored_ids, np.uint8), name) == 255).all()
    assert record.palette.shape == (256, 3) and record.palette.dtype == np.uint8


def test_ids_follow_the_order_of_the_classes():
    np.testing.assert_array_equal(BITS.to_classes(np.array([7, 3, 20, 0, 255]), "x"), [0, 1, 2, 255, 255])
    np.testing.assert_array_equal(BITS.to_label_ids(np.array([[2, 0]])), [[20, 7]])


def test_stem():
    assert stem("a.b/c.d.png") == "c.d"
