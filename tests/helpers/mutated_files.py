"""Reads damaged files: python tests/helpers/mutated_files.py KIND FOLDER FIRST LAST. Run by test_mutations.py.

Each kind of file has its readers. A process has 1 GiB, and 2 s for each mutant; it ends with another status than 0 if a
mutant is neither read nor refused with one clear line that names the file. The number of a mutant says all about it:
what was damaged, and how. It prints how many were read and how many refused.
"""
import contextlib
import io
import logging
import os
import shutil
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mutated_bytes import MUTATIONS, SIDES, generator, limit_memory, limit_time

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from packed import CLASSES, packed, samples_of, write_dataset  # noqa: E402
from PIL import Image  # noqa: E402

from ademxapp.cli import UsageError  # noqa: E402
from ademxapp.data.images import decode_label, decode_rgb, write_png  # noqa: E402
from ademxapp.data.lists import Sample, list_task, read_classification_list, read_segmentation_list  # noqa: E402
from ademxapp.data.records import HEADER, frame, read_records  # noqa: E402
from ademxapp.weights.description import Description

TOKENS = (b"!!", b"!!bool x", b"!!int x", b"!!timestamp x", b"!!binary x", b"!!set {a}", b"!!python/name:os.system",
          b"2001-99-99", b"2001-01-01", b"[" * 2000, b"{" * 2000, b"- " * 2000, b"&a [*a, *a]", b"*a", b"<<: *a",
          b"9" * 5000, b"9" * 400, b"0x_", b"0b_", b"1:2:3", b".inf", b".nan", b"~", b"{}", b"[]",
          b"? ", b": ", b"\n", b"\t", b"#",
          b"'", b'"', b"\\", b"{x}", b"{0}", b"{", b"}", b"%n", b"-1", b"1e999", b"\0", b"\xff", b"\xc2\x85",
          b"../..", b"/", "٣".encode(), "²".encode(), b"\xe2\x80\xa8")


def put_token(data, rng):
    """Something that means something in a text file, or at the end of a line of it."""
    ends = [i for i, byte in enumerate(data) if byte in b"\n:\t"]
    start = rng.choice(ends) + rng.randrange(2) if ends and rng.random() < 0.7 else rng.randrange(len(data) + 1)
    data[start:start] = rng.choice((b"", b" ")) + rng.choice(TOKENS)


def replace_value(data, rng):
    """Another value in a line `key: value` or in a column."""
    lines = bytes(data).split(b"\n")
    i = rng.randrange(len(lines))
    for mark in (b": ", b"\t"):
        if mark in lines[i]:
            parts = lines[i].split(mark)
            parts[rng.randrange(len(parts))] = rng.choice(TOKENS)
            lines[i] = mark.join(parts)
            break
    data[:] = b"\n".join(lines)


def double_line(data, rng):
    lines = bytes(data).split(b"\n")
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    data[:] = b"\n".join(lines)


def set_side(data, rng):
    """A huge or odd width or height, in either byte order, in the header or anywhere."""
    start = rng.randrange(min(200, len(data))) if rng.random() < 0.8 else rng.randrange(len(data))
    side = struct.pack(rng.choice(("<H", ">H", "<I", ">I")), rng.choice(SIDES))
    data[start:start + len(side)] = side


def set_jpeg_size(data, rng):
    """Another size in a JPEG's frame header."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        place = data.find(marker)
        if place >= 0 and place + 9 <= len(data):
            struct.pack_into(">HH", data, place + 5, rng.choice(SIDES), rng.choice(SIDES))
            return
    set_side(data, rng)


TEXT = (*MUTATIONS, put_token, replace_value, double_line, put_token, replace_value)
IMAGE = (*MUTATIONS, set_side, set_jpeg_size)


# Readers: each is given the folder, the mutant's path and the source's, and reads or raises


def read_samples(prefix, classes):
    """Read and decode all samples; of what is wrong with several, the first is raised."""
    wrong = []
    for sample in read_records(prefix, classes):
        try:
            image, label = sample.read()
            decode_rgb(image, sample.image_path)
            if label is not None:
                decode_label(label, sample.label_path)
        except (ValueError, OSError) as error:
            wrong.append(checked(error, prefix))
    if wrong:
        raise wrong[0]


def use_records(folder, path, source):
    (folder / "mutant.idx").write_bytes(source.with_suffix(".idx").read_bytes())
    read_samples(folder / "mutant", None if source.stem == "seg" else CLASSES)


def use_index(folder, path, source):
    (folder / "mutant.rec").write_bytes(source.with_suffix(".rec").read_bytes())
    read_samples(folder / "mutant", None if source.stem == "seg" else CLASSES)


def use_list(folder, path, source):
    wrong = []
    for read in (list_task, lambda path: read_classification_list(path, str(folder), CLASSES),
                 lambda path: read_classification_list(path, str(folder)),
                 lambda path: read_segmentation_list(path, str(folder))):
        try:
            read(str(path))
        except (ValueError, OSError) as error:
            wrong.append(checked(error, path))
    if len(wrong) > 2:
        raise wrong[0]


def use_packing(folder, path, source):
    from tools import pack
    for suffix in ("rec", "idx", "rec.part", "journal.part"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / f"packed.{suffix}")
    with contextlib.redirect_stdout(io.StringIO()):
        pack.main([str(path), "--root", str(folder), "--out", str(folder / "packed"), "--skip-broken", "--workers", "1",
                   "--overwrite"])


def use_dataset_file(folder, path, source):
    from ademxapp.data.dataset_file import read_dataset_file
    from iclass.datasets import ClassificationDataset
    from issegm.datasets import SegmentationDataset
    kind = ClassificationDataset if source.stem == "pets" else SegmentationDataset
    record = read_dataset_file(str(path), kind, source.stem)
    if source.stem == "garden":
        record.to_label_ids(record.to_classes(np.array([[record.label_ids[0]]], np.uint8), "x"))
        assert record.palette.shape == (256, 3)


def use_recipe(folder, path, source):
    from tools import reproduce
    with contextlib.redirect_stdout(io.StringIO()):
        reproduce.main(["run", str(path), "--data", str(folder), "--dry-run"])


def use_scores(folder, path, source):
    from ademxapp.evaluation.dense import label_map
    from ademxapp.evaluation.score_files import read_scores
    read_scores(str(path))
    label_map([read_scores(str(path), (30, 41), 6)[0]])


def use_msctest(folder, path, source):
    """The whole command, on a list of one image whose stored scores are the mutant."""
    from tools import msctest
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        msctest.main(["--predictions", str(folder / "stored"), "--list", str(folder / "mutant.lst"), "--data-root",
                      str(folder), "--output", str(folder / "averaged"), "--overwrite"])


def predict(folder, path, source):
    from iclass.classifier import Classifier
    from iclass.datasets import ClassificationDataset, Views
    from tools import predict
    known = Description("x_y_cls3", "classification", 3, 8, (0, 0, 0), (1, 1, 1), "bilinear", 32)
    ready = SimpleNamespace(begin=lambda data: lambda: np.ones((len(data), 3), np.float32) / 3)
    network = Classifier(known, ClassificationDataset("x", ("a", "b", "c")), Views((32,)), ready)
    predict.open_onnx, predict.versions = lambda asked: network, lambda asked: {}
    log = folder / "seen" / "predict.log"
    log.unlink(missing_ok=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            predict.main([str(path), "--model", str(path), "--out", str(folder / "seen")])
        except ValueError:
            logging.getLogger("ademxapp").handlers[-1].flush()
            _, left_out = log.read_text().split("left out: ")
            raise ValueError(left_out.partition("\n")[0]) from None


def prepare(folder, path, source):
    from tools import prepare
    image, label, suffix = path, folder / "whole/labels/grey.png", source.suffix
    if source.parent.name == "labels":
        image, label = folder / "whole/images/rgb.png", path
    suffix = ".png" if suffix == ".gif" else suffix  # which datasets of one's own do not have
    for name, file in (("images", image), ("labels", label)):
        shutil.rmtree(folder / "own" / name, ignore_errors=True)
        os.makedirs(folder / "own" / name / "train")
        shutil.copy(file, folder / "own" / name / "train" / f"mutant{suffix if name == 'images' else '.png'}")
    (folder / "own.yaml").write_text("class_names: [a, b, c]\n")
    with contextlib.redirect_stdout(io.StringIO()):
        prepare.main(["own", "--root", str(folder / "own"), "--dataset-file", str(folder / "own.yaml"), "--out",
                      str(folder / "lists"), "--workers", "1"])


def pack_image(folder, path, source):
    image, label = ("whole/images/rgb.png", path.name) if source.parent.name == "labels" else (path.name, None)
    (folder / "x.lst").write_text(f"{image}\t{label}\n" if label else f"{image}\n")
    from tools import pack
    with contextlib.redirect_stdout(io.StringIO()):
        pack.main([str(folder / "x.lst"), "--root", str(folder), "--out", str(folder / "packed"), "--workers", "1",
                   "--overwrite", "--shorter-side", "20"])


def train(folder, path, source):
    from iclass.datasets import TrainImages
    from issegm.datasets import SegmentationDataset, TrainCrops
    settings, rng = SimpleNamespace(mean=(0, 0, 0), std=(1, 1, 1), interpolation="adaptive"), np.random.default_rng(0)
    if source.parent.name == "labels":
        sample = Sample(str(folder), "whole/images/rgb.png", label_image=path.name)
    else:
        shutil.copy(folder / "whole/labels/grey.png", folder / "mutant.truth")  # named in messages about both
        sample = Sample(str(folder), path.name, 0, label_image="mutant.truth")
        TrainImages([sample], 16, settings).load(0, rng)
    record = SegmentationDataset("three", ("a", "b", "c"))
    TrainCrops([sample], record, settings, 8, 32, 40).load(0, rng)


COMMANDS = (predict, prepare, pack_image, train)


def use_image(folder, path, source):
    commands = COMMANDS[1:] if source.parent.name == "labels" else COMMANDS
    generator(path.stat().st_size, source.name).choice(commands)(folder, path, source)


# What is damaged


def sources(folder):
    """Write whole files; {kind: (paths, mutations, reader)}."""
    folder.mkdir(parents=True, exist_ok=True)
    write_dataset(str(folder))
    for task in ("cls", "seg"):
        packed(folder / task, samples_of(folder, task))
    write_im2rec(folder / "mx", samples_of(folder, "cls"))
    records = [folder / f"{name}.rec" for name in ("cls", "seg", "mx")]
    lists = [folder / f"{name}.lst" for name in ("cls", "seg")]
    return {
        "rec": (records, (*MUTATIONS, put_token), use_records),
        "idx": ([path.with_suffix(".idx") for path in records], TEXT, use_index),
        "lst": (lists, TEXT, use_list),
        "packed-lst": (lists, TEXT, use_packing),
        "dataset": (write_dataset_files(folder), TEXT, use_dataset_file),
        "recipe": (recipes(folder), TEXT, use_recipe),
        "image": (write_images(folder / "whole"), IMAGE, use_image),
        "scores": (write_score_files(folder), (*MUTATIONS, set_side), use_scores),
        "msctest": (write_stored_test(folder), (*MUTATIONS, set_side), use_msctest),
    }


def write_im2rec(prefix, samples):
    """A record file as MXNet's im2rec writes it."""
    places, data = [], b""
    for number, sample in enumerate(samples):
        places.append(f"{10 * number}\t{len(data)}\n")
        data += frame(HEADER.pack(0, sample.class_id, 100 + number, 0) + sample.read()[0])
    prefix.with_suffix(".rec").write_bytes(data)
    prefix.with_suffix(".idx").write_text("".join(places))


def write_dataset_files(folder):
    """A dataset of each task, with all fields."""
    (folder / "garden.yaml").write_text(
        "name: garden\nclass_names: [grass, path, 'a plant']\nlabel_ids: [1, 2, 3]\nignored_ids: [0, 255]\n"
        "colours: [[0, 0, 0], [0, 200, 0], [90, 90, 90], [200, 0, 0]]\nlargest_side: 640\nsame_size: false\n"
        "splits: {train: 10, val: 3}\nevaluation: mean IoU\ncategories:\n  green: [grass, 'a plant']\n  grey: [path]\n")
    (folder / "pets.yaml").write_text("name: pets\nclass_names:\n- cat\n- dog\nfolders:\n- n01\n- n02\nsplits:\n"
                                      "  train: 100\n  val: 10\n")
    return [folder / "garden.yaml", folder / "pets.yaml"]


def recipes(folder):
    """A recipe with all that recipes have."""
    (folder / "recipe.yaml").write_text(
        "title: A run\nabout: >\n  Of two\n  networks.\ntime: &long about a day\noutput: output/run\nfor:\n"
        "  - {net: a1, crop: 480, how: *long}\n  - {net: a2, crop: 500, how: once}\n"
        "needs:\n  '{output}/{net}.params': of tools/weights.py\nvalues: {seed: 1}\nsteps:\n  - name: '{net}, test'\n"
        "    run: issegm/voc.py\n    with: {phase: val, weights: ['{output}/{net}.params'], test-scales: '{crop}',\n"
        "           seed: '{seed}', data-root: '{data}'}\n"
        "    makes: '{output}/{net}/result.json'\n    log: '{output}/{net}'\n    minutes: 30\n"
        "    expect: {mean_iou: 57.76}\n"
        "  - {name: lists, run: tools/prepare.py voc, makes: data/voc/val.lst, when: net}\n")
    return [folder / "recipe.yaml"]


def write_images(folder):
    """Small files of all formats and label images; paths."""
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)).resize((64, 48), Image.BICUBIC)
    os.makedirs(folder / "images", exist_ok=True)
    os.makedirs(folder / "labels", exist_ok=True)
    files = {
        "plain.jpg": {}, "progressive.jpg": {"progressive": True}, "rgb.png": {}, "x.bmp": {}, "x.gif": {},
        "raw.tiff": {}, "lzw.tiff": {"compression": "tiff_lzw"}, "jpeg.tif": {"compression": "jpeg"}, "x.webp": {},
        "lossless.webp": {"lossless": True}}
    for name, options in files.items():
        smooth.save(folder / "images" / name, **options)
    smooth.convert("L").save(folder / "images" / "grey.jpg")
    smooth.convert("CMYK").save(folder / "images" / "cmyk.jpg")
    smooth.convert("P").save(folder / "images" / "palette.png")
    smooth.convert("L").point(lambda value: 256 * value, "I").convert("I;16").save(folder / "images" / "deep.png")
    smooth.quantize(4).save(folder / "images" / "rle.bmp")
    label = rng.choice([0, 1, 2, 255], (48, 64)).astype(np.uint8)
    write_png(str(folder / "labels" / "grey.png"), label)
    write_png(str(folder / "labels" / "palette.png"), label, rng.integers(0, 256, (256, 3)))
    Image.fromarray(label.astype(np.uint16)).save(folder / "labels" / "deep.png")
    Image.fromarray(label > 0).save(folder / "labels" / "bits.png")
    return sorted((folder / "images").iterdir()) + sorted((folder / "labels").iterdir())


def write_score_files(folder):
    """Score maps as issegm/voc.py --save-predictions keeps them."""
    from ademxapp.evaluation.dense import DenseSettings, ScoreMap
    from ademxapp.evaluation.score_files import write_scores
    paths, rng = [], np.random.default_rng(0)
    for name, window in (("a", 0), ("b", 32)):
        scores = rng.random((6, 6, 6)).astype(np.float32)
        score_map = ScoreMap(scores, 8, (35, 48), (30, 41))
        settings = DenseSettings((0, 0, 0), (1, 1, 1), 8, window=window)
        paths.append(folder / f"{name}.h5")
        write_scores(str(paths[-1]), score_map, 48, settings, "demo_rna-b1_cls6_s8_ep-0001.params")
    return paths


def write_stored_test(folder):
    """What tools/msctest.py needs beside the scores, which it finds through a link; the scores."""
    write_png(str(folder / "mutant.png"), np.full((30, 41, 3), 90, np.uint8))
    write_png(str(folder / "mutant_truth.png"), np.arange(30 * 41, dtype=np.uint8).reshape(30, 41) % 6)
    (folder / "mutant.lst").write_text("mutant.png\tmutant_truth.png\n")
    (folder / "stored").mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "stored" / "mutant.h5").symlink_to(folder / "mutant.h5")
    return write_score_files(folder)


def mutant(kind, number, paths, mutations):
    """(source, bytes) of a mutant."""
    rng, source = generator(kind, number), paths[number % len(paths)]
    data = bytearray(source.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 2))):
        if data:
            mutations[rng.randrange(len(mutations))](data, rng)
    return source, data


def checked(error, path):
    """`error`, if it is one clear line that names the file."""
    assert type(error) in (ValueError, UsageError) or isinstance(error, OSError), repr(error)
    text = str(error)
    assert "\n" not in text and len(text) < 1000, f"not one line: {error}"
    assert Path(path).stem in text, f"names no file: {error}"
    return error


def main(kind, folder, first, last):
    folder, outcomes = Path(folder).resolve(), [0, 0]
    paths, mutations, use = sources(folder)[kind]
    for source in paths:  # whole files are read, and all is imported
        path = folder / f"mutant{source.suffix}"
        path.write_bytes(source.read_bytes())
        use(folder, path, source)
    limit_memory()
    for number in range(int(first), int(last)):
        source, data = mutant(kind, number, paths, mutations)
        path = folder / f"mutant{source.suffix}"
        path.write_bytes(data)
        (folder / "number").write_text(str(number))
        limit_time()
        try:
            use(folder, path, source)
            outcomes[0] += 1
        except (ValueError, OSError) as error:
            outcomes[bool(checked(error, path))] += 1
        finally:
            limit_time(0)
    print(*outcomes)


if __name__ == "__main__":
    main(*sys.argv[1:])
