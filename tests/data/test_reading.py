"""Reading for training: the fast ways against Pillow, and against the straightforward way of `bench.py reading`."""
import io
import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ademxapp.cli import UsageError
from ademxapp.data.images import ImageFile, upper_left, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.transforms import RESERVE, choose_filter, grow, resize_part, shrink
from ademxapp.symbol import network
from iclass.datasets import TrainImages
from issegm.datasets import DATASETS, SegmentationDataset, TrainCrops
from tools import bench
from tools.benchmarks import reading
from tools.benchmarks.comparison import Comparison, in_turns
from tools.benchmarks.reading import PlainCrops, PlainImages

SETTINGS = network("rna-a1").input
RECORD = SegmentationDataset("bits", ("a", "b", "c"), (7, 3, 20))


def photograph(height, width, seed=0):
    """An image with structures of every size, as photographs have, (H, W, 3) uint8."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24, 48, 96):
        grid = rng.normal(0, 120 / cells ** 0.7, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def encoded(pixels, **options):
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, **options)
    return data.getvalue()


JPEG, PNG = dict(format="JPEG", quality=92), dict(format="PNG")


# Decoding


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_a_reduced_jpeg_has_the_means_of_its_squares(reduce):
    pixels = photograph(203, 310)
    found = ImageFile(encoded(pixels, subsampling=0, **JPEG), "x").rgb(reduce)
    assert found.shape == (-(-203 // reduce), -(-310 // reduce), 3) and found.dtype == np.uint8
    height, width = 203 // reduce, 310 // reduce
    squares = pixels[:height * reduce, :width * reduce].reshape(height, reduce, width, reduce, 3)
    assert np.abs(found[:height, :width] - squares.mean((1, 3))).mean() < 1.5


@pytest.mark.parametrize("pixels, options, reductions", [
    (photograph(20, 30), JPEG, (1, 2, 4, 8)), (photograph(20, 30), PNG, (1,)),
    (photograph(20, 30)[..., 0], JPEG, (1,))])
def test_only_jpegs_of_colours_are_reduced(pixels, options, reductions):
    file = ImageFile(encoded(pixels, **options), "x")
    assert file.reductions == reductions and file.size == (20, 30)


@pytest.mark.parametrize("box", [(0, 0, 90, 10), (17, 5, 60, 61), (3, 4, 90, 70), (0, 0, 1, 1)])
@pytest.mark.parametrize("kind", ["jpeg", "png", "interlaced", "grey", "palette", "transparent"])
def test_a_part_has_the_pixels_of_the_whole(kind, box):
    image = Image.fromarray(photograph(70, 90))
    data = io.BytesIO()
    if kind == "jpeg":
        image.save(data, **JPEG)
    elif kind == "interlaced":  # Pillow writes none
        data.write(interlaced(np.asarray(image)))
    else:
        {"png": image, "grey": image.convert("L"), "palette": image.quantize(40),
         "transparent": image.convert("RGBA")}[kind].save(data, **PNG)
    data = data.getvalue()
    left, top, right, bottom = box
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[top:bottom, left:right]
    part = ImageFile(data, "x").part(box)
    assert part.dtype == np.uint8
    np.testing.assert_array_equal(part, wanted)


def interlaced(pixels):
    """The bytes of an interlaced PNG."""
    height, width, _ = pixels.shape
    rows = b""
    for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
                         (1, 0, 2, 1)):
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::dy, x::dx] if row.size)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize("share", [0.2, 0.9])
@pytest.mark.parametrize("options", [JPEG, PNG])
def test_a_file_that_was_cut_short_is_an_error_wherever_the_part_lies(options, share):
    data = encoded(photograph(200, 300), **options)
    with pytest.raises(ValueError, match="some/image cannot be decoded: .*truncated"):
        ImageFile(data[:int(share * len(data))], "some/image").part((5, 5, 20, 20))


def filtered(pixels, kinds, lengths):
    """The bytes of a PNG whose rows have the given filters, in data chunks of the given lengths and a last one."""
    height, width, _ = pixels.shape
    whole = np.zeros((height + 1, width + 1, 3), int)
    whole[1:, 1:] = pixels
    rows = b""
    for y, kind in zip(range(1, height + 1), kinds):
        left, above, corner = whole[y, :-1], whole[y - 1, 1:], whole[y - 1, :-1]
        guess = left + above - corner
        distances = np.stack([abs(guess - near) for near in (left, above, corner)])
        paeth = np.choose(distances.argmin(0), [left, above, corner])
        told = (0, left, above, (left + above) // 2, paeth)[kind]
        rows += bytes([kind]) + ((whole[y, 1:] - told) % 256).astype(np.uint8).tobytes()
    packed, chunks = zlib.compress(rows), [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))]
    for length in lengths:
        chunks.append((b"IDAT", packed[:length]))
        packed = packed[length:]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*chunks, (b"IDAT", packed), (b"IEND", b"")])


@pytest.mark.parametrize("lengths", [(), (0, 1, 700, 0)])
@pytest.mark.parametrize("right, bottom", [(64, 48), (64, 1), (1, 48), (1, 1), (37, 20)])
def test_the_corner_of_a_png_of_any_filters(right, bottom, lengths):
    pixels = photograph(48, 64)
    data = filtered(pixels, np.random.default_rng(0).integers(0, 5, 48), lengths)
    np.testing.assert_array_equal(upper_left(data, right, bottom), pixels[:bottom, :right, ::-1])
    np.testing.assert_array_equal(ImageFile(data, "x").part((0, 0, right, bottom)), pixels[:bottom, :right])


def test_a_corner_of_many_bytes():
    """More than an uncompressed block of deflate holds, by some and by none."""
    for width in (21845 // 4, 1000):
        pixels = photograph(40, width + 3)
        corner = upper_left(encoded(pixels, **PNG), width, 40)
        np.testing.assert_array_equal(corner, pixels[:, :width, ::-1])


def test_corners_of_damaged_pngs_are_those_of_the_whole_or_not_told():
    whole, rng, found = filtered(photograph(60, 80), [4] * 60, [500] * 12), np.random.default_rng(0), []
    wanted = upper_left(whole, 30, 20)
    for _ in range(300):
        data = bytearray(whole)
        data[rng.integers(33, len(data))] ^= 1 << rng.integers(8)  # behind the header
        pixels = upper_left(bytes(data[:rng.integers(len(data) // 2, 3 * len(data))]), 30, 20)
        assert pixels is None or np.array_equal(pixels, wanted)
        found.append(pixels is None)
    assert 50 < sum(found) < 250


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_a_wrong_bit_above_the_parts_end_is_an_error(place):
    data = bytearray(filtered(photograph(48, 64), [4] * 48, [1000] * 20))
    data[int(place * len(data))] ^= 16
    with pytest.raises(ValueError, match="some/image cannot be decoded"):
        ImageFile(bytes(data), "some/image").part((5, 5, 60, 40))
    assert ImageFile(bytes(data), "some/image").part((0, 0, 30, 8)).shape == (8, 30, 3)  # not reached


# Resizing


@pytest.mark.parametrize("options", [JPEG, PNG])
@pytest.mark.parametrize("interpolation", ["adaptive", "bicubic", "bilinear"])
@pytest.mark.parametrize("box, size", [
    ((0, 0, 150, 120), (64, 64)), ((31, 22, 110, 119), (64, 64)), ((40, 50, 70, 71), (64, 64)),
    ((40, 3, 140, 40), (64, 64)), ((10.3, 20.71, 99.9, 118.02), (60, 80)), ((0, 7.5, 55.55, 80.25), (90, 77)),
    ((64, 32, 128, 96), (64, 64))])
def test_parts_that_are_not_reduced_have_pillows_bits(options, interpolation, box, size):
    data = encoded(photograph(120, 150), **options)
    source = (box[3] - box[1], box[2] - box[0])
    method = choose_filter(source, size) if interpolation == "adaptive" else \
        {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR}[interpolation]
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(size[::-1], method, box))
    np.testing.assert_array_equal(resize_part(ImageFile(data, "x"), box, size, interpolation), wanted)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_what_is_reduced_and_what_is_not(factor):
    """An image decoded at a smaller size keeps `RESERVE` pixels for each wanted one, along both sides."""
    file = ImageFile(encoded(photograph(400, 420), **JPEG), "x")
    taken, part = [], file.part
    file.part = lambda box, reduce: taken.append(reduce) or part(box, reduce)
    side = int(RESERVE * factor * 30)
    resize_part(file, (5, 5, 5 + side, 5 + side), (30, 30))
    resize_part(file, (5, 5, 5 + side, 5 + side - 1), (30, 30))
    assert taken == [factor, factor // 2]


@pytest.mark.parametrize("method, box, size", [
    (Image.LANCZOS, (0, 0, 400, 300), (224, 224)), (Image.LANCZOS, (31, 22, 271, 262), (224, 224)),
    (Image.LANCZOS, (100, 20, 300, 290), (80, 96)), (Image.LANCZOS, (5, 60, 395, 100), (39, 110)),
    (Image.BICUBIC, (0, 0, 200, 180), (224, 224)), (Image.BICUBIC, (31, 22, 131, 132), (224, 224)),
    (Image.BICUBIC, (5, 60, 65, 160), (120, 90))])
def test_near_is_near(method, box, size):
    """To Pillow's filters: half a grey level on average, and four in the worst of a thousand values."""
    data = encoded(photograph(300, 400), **PNG)
    wanted = np.asarray(Image.open(io.BytesIO(data)).resize(size[::-1], method, box))
    found = resize_part(ImageFile(data, "x"), box, size, near=True)
    assert found.shape == wanted.shape and found.dtype == np.uint8
    differences = np.abs(found.astype(float) - wanted)
    assert 0 < differences.mean() < 0.5 and np.quantile(differences, 0.999) <= 4


def test_only_where_it_has_pillows_filter_it_is_near():
    file = ImageFile(encoded(photograph(90, 120), **PNG), "x")
    for box, size, interpolation in (((0, 0, 50, 40), (64, 64), "lanczos"), ((0, 0, 50, 90), (64, 64), "adaptive"),
                                     ((0, 0, 100, 80), (64, 64), "bicubic"), ((0, 0.5, 100, 80), (64, 64), "adaptive"),
                                     ((0, 0, 120, 90), (40, 25), "adaptive")):
        np.testing.assert_array_equal(resize_part(file, box, size, interpolation, near=True),
                                      resize_part(file, box, size, interpolation))


def test_what_has_one_colour_keeps_it():
    assert (grow(np.full((20, 30, 3), (0, 131, 255), np.uint8), (3, 4, 25, 19), (60, 70)) == (0, 131, 255)).all()
    for scale in np.linspace(1.01, 6, 40):
        pixels = np.full((400, 400, 3), (0, 131, 255), np.uint8)
        found = shrink(pixels, (7, 9, 7 + round(40 * scale), 9 + round(30 * scale)), (30, 40))
        assert (found == (0, 131, 255)).all()


def test_opencvs_threads_change_no_bits():
    pixels, threads, found = photograph(700, 900), cv2.getNumThreads(), []
    try:
        for count in (1, 2, 7):
            cv2.setNumThreads(count)
            found.append([shrink(pixels, (10, 9, 800, 690), (400, 399)), grow(pixels, (10, 9, 300, 290), (401, 399))])
    finally:
        cv2.setNumThreads(threads)
    for others in found[1:]:
        np.testing.assert_array_equal(others[0], found[0][0])
        np.testing.assert_array_equal(others[1], found[0][1])


# The straightforward way


def same_state(one, other):
    return one.bit_generator.state == other.bit_generator.state


def differences(fast, plain, loads):
    """Mean absolute difference of each crop in grey levels, and the share of different labels; the same draws."""
    scale, levels, labels = 255 * np.array(SETTINGS.std)[:, None, None], [], []
    for seed in range(loads):
        one, other = np.random.default_rng(seed), np.random.default_rng(seed)
        data, label = fast.load(seed % len(fast), one)
        wanted, truth = plain.load(seed % len(plain), other)
        assert same_state(one, other)  # as many draws
        assert data.shape == wanted.shape and data.dtype == np.float32
        levels.append((np.abs(data - wanted) * scale).mean())
        labels.append(np.mean(label != truth))
    return np.array(levels), np.array(labels)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Samples of photographs of several sizes, with labels, as JPEG and as PNG."""
    folder = tmp_path_factory.mktemp("pictures")
    ids = np.array(RECORD.label_ids + (255,), np.uint8)
    for i, (height, width) in enumerate(((500, 375), (640, 800), (260, 400))):
        (folder / f"{i}.jpg").write_bytes(encoded(photograph(height, width, i), **JPEG))
        write_png(str(folder / f"{i}.png"), photograph(height, width, i))
        write_png(str(folder / f"{i}_t.png"), ids[photograph(height, width, 9 + i)[..., 0] // 64])
    return {kind: [Sample(str(folder), f"{i}.{kind}", i, label_image=f"{i}_t.png") for i in range(3)]
            for kind in ("jpg", "png")}


def test_training_images_are_those_of_the_plain_way(pictures):
    for areas in ((0.02, 0.06), (0.4, 0.9)):  # crops that grow, and those that shrink
        options = 224, SETTINGS, "adaptive", areas
        levels, classes = differences(TrainImages(pictures["jpg"], *options), PlainImages(pictures["jpg"], *options), 6)
        assert levels.max() < 1 and not classes.any()


def test_reduced_training_images_are_within_two_grey_levels(pictures):
    levels, _ = differences(TrainImages(pictures["jpg"], 48, SETTINGS), PlainImages(pictures["jpg"], 48, SETTINGS), 30)
    assert 0 < (levels > 0.01).mean() and levels.mean() < 2


@pytest.mark.parametrize("kind, origin_size", [("png", 500), ("jpg", 500), ("jpg", 160)])
def test_segmentation_crops_are_those_of_the_plain_way(pictures, kind, origin_size):
    options = RECORD, SETTINGS, 8, 96, origin_size
    levels, cells = differences(TrainCrops(pictures[kind], *options), PlainCrops(pictures[kind], *options), 9)
    assert levels.mean() < 2 and cells.mean() < 0.02  # a cell's centre may lie on the border of two pixels


@pytest.mark.data
def test_photographs_are_within_two_grey_levels(data_root):
    samples = [Sample(str(path.parent), path.name, 0)
               for path in sorted((data_root / "ilsvrc_samples").glob("*.JPEG"))[:30]]
    for crop, mean, worst in ((224, 0.5, 3), (112, 1, 5), (56, 1, 5)):
        options = samples, crop, SETTINGS
        levels, _ = differences(TrainImages(*options), PlainImages(*options), len(samples))
        assert 0 < (levels > 0.01).mean() and levels.mean() < mean and levels.max() < worst


def test_a_wrong_label_is_found_outside_the_crop_too(tmp_path):
    label = np.full((64, 80), 7, np.uint8)
    label[-1, -1] = 8
    write_png(str(tmp_path / "x.png"), photograph(64, 80))
    write_png(str(tmp_path / "t.png"), label)
    dataset = TrainCrops([Sample(str(tmp_path), "x.png", label_image="t.png")], RECORD, SETTINGS, 8, 16, 80, (1.0, 1.0))
    with pytest.raises(ValueError, match=r"t\.png has label 8, which is no class of bits"):
        dataset.load(0, np.random.default_rng(0))


# bench.py reading


def test_turns_alternate_and_the_first_does_not_count():
    made, ticks = [], iter(range(1000))

    def slow():
        made.append("b")
        next(ticks), next(ticks)
    rates, others = in_turns([lambda: made.append("a"), slow], 3, 0, lambda: next(ticks), times=2)
    assert "".join(made) == 4 * "aabb"
    assert rates == (6, 6, 6) and others == (1.2, 1.2, 1.2)


def test_a_comparison_takes_the_median_of_the_turns():
    record = Comparison("this", "that", (3.0, 8.0, 4.0), (1.0, 2.0, 4.0), 3.5).record()
    assert (record["lowest"], record["ratio"], record["highest"], record["met"]) == (1, 3, 4, False)
    assert Comparison("this", "that", (1.0,), (1.0,)).record()["met"] is None


def test_bench_reading(pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / "x.lst").write_text("".join(f"{i}\t{i}\t{i}.jpg\n" for i in range(3)))
    (tmp_path / "y.lst").write_text("".join(f"{i}.png\t{i}_t.png\n" for i in range(3)))
    monkeypatch.setattr(reading, "TURN", {"classification": 3, "segmentation": 3})
    monkeypatch.setitem(DATASETS, "camvid", RECORD)
    root = pictures["jpg"][0].root
    common = ["--root", root, "--seconds", "0", "--format", "json"]
    for task, name in (("classification", "x"), ("segmentation", "y")):
        bench.main(["reading", "--task", task, "--list", str(tmp_path / f"{name}.lst"), "--dataset", "camvid", "--crop",
                    "96", *common])
        record, = json.loads(capsys.readouterr().out)
        assert record["what"].startswith(f"reading for {task}, 3 images") and len(record["rates"]) >= 3
        assert record["lowest"] <= record["ratio"] <= record["highest"] and "grey levels" in record["remark"]
    bench.main(["reading", "--task", "classification", "--list", str(tmp_path / "x.lst"), "--crop", "96",
                "--root", root, "--seconds", "0", "--format", "markdown", "--output", str(tmp_path / "r.md")])
    assert (tmp_path / "r.md").read_text().startswith("| what | against |")


def test_bench_reading_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.delenv("ADEMXAPP_DATA", raising=False)
    with pytest.raises(UsageError, match="ADEMXAPP_DATA.*--task, --root and --list"):
        bench.main(["reading"])
    (tmp_path / "x.lst").write_text("0\t0\tx.jpg\n")
    with pytest.raises(UsageError, match="go together"):
        bench.main(["reading", "--list", str(tmp_path / "x.lst")])
