"""Samples from record files: the same as from files; MXNet reads them, and its own are read; damage is told."""
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from packed import CLASSES, IMAGES, packed, samples_of, write_dataset

from ademxapp import driver
from ademxapp.backend import mx
from ademxapp.cli import UsageError
from ademxapp.data.images import decode_rgb
from ademxapp.data.loader import Loader
from ademxapp.data.records import MAGIC, RecordFile, contents_record, frame, read_contents, read_records
from ademxapp.settings import Data
from ademxapp.symbol import network
from iclass.datasets import TestImages, TrainImages
from issegm.datasets import SegmentationDataset, TrainCrops

SETTINGS = network("rna-a1").input
RECORD = SegmentationDataset("three", ("a", "b", "c"), ignored_ids=(255,))
PAYLOADS = [b"", b"a", b"1234", MAGIC, MAGIC * 3, b"1234" + MAGIC, MAGIC + b"12", b"12" + MAGIC + b"34", b"x" * 1001,
            b"1234" + MAGIC + b"5678" + MAGIC + MAGIC + b"9", MAGIC[:3], b"1234" + MAGIC[:3]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The small dataset, packed as cls.rec and seg.rec, and by MXNet itself as mx.rec."""
    folder = tmp_path_factory.mktemp("records")
    write_dataset(str(folder))
    for task in ("cls", "seg"):
        packed(folder / task, samples_of(folder, task))
    out = mx.recordio.MXIndexedRecordIO(str(folder / "mx.idx"), str(folder / "mx.rec"), "w")
    for i, sample in enumerate(samples_of(folder, "cls")):
        header = mx.recordio.IRHeader(0, float(sample.class_id), 100 + i, 0)
        out.write_idx(10 * i, mx.recordio.pack(header, Path(sample.image_path).read_bytes()))
    out.close()
    return folder


@pytest.fixture
def copy(root, tmp_path):
    """The prefix of a copy of cls.rec and cls.idx, to be damaged."""
    for suffix in ("rec", "idx"):
        shutil.copy(root / f"cls.{suffix}", tmp_path / f"x.{suffix}")
    return tmp_path / "x"


# Framing


def test_framing_is_that_of_mxnet(tmp_path):
    path = str(tmp_path / "x.rec")
    out = mx.recordio.MXRecordIO(path, "w")
    for payload in PAYLOADS:
        out.write(payload)
    out.close()
    assert (tmp_path / "x.rec").read_bytes() == b"".join(map(frame, PAYLOADS))
    file, place = RecordFile(path), 0
    for payload in PAYLOADS:
        found, place = file.read(place)
        assert found == payload
    assert place == file.size


def test_mxnet_reads_the_records(root):
    source = mx.recordio.MXIndexedRecordIO(str(root / "cls.idx"), str(root / "cls.rec"), "r")
    assert source.keys == list(range(IMAGES))
    for i in (4, 0, IMAGES - 1):
        header, image = mx.recordio.unpack(source.read_idx(i))
        sample = samples_of(root, "cls")[i]
        assert (header.label, header.id) == (sample.class_id, i) and image == Path(sample.image_path).read_bytes()
    images = mx.image.ImageIter(2, (3, 24, 24), path_imgrec=str(root / "cls.rec"), path_imgidx=str(root / "cls.idx"))
    assert images.next().label[0].asnumpy().tolist() == [0, 1]
    pairs = mx.recordio.MXIndexedRecordIO(str(root / "seg.idx"), str(root / "seg.rec"), "r")
    sample = samples_of(root, "seg")[5]
    _, pixels = mx.recordio.unpack_img(pairs.read_idx(5), 1)  # finds the image before the label
    np.testing.assert_array_equal(pixels[..., ::-1], decode_rgb(sample.read()[0], "x"))


def test_records_of_mxnet_are_read(root):
    found, wanted = read_records(root / "mx", CLASSES), samples_of(root, "cls")
    assert [sample.read() for sample in found] == [sample.read() for sample in wanted]
    assert [sample.class_id for sample in found] == [sample.class_id for sample in wanted]
    assert found[3].image_path == f"{root}/mx.rec:record 30"


# Samples


@pytest.mark.parametrize("task, classes", [("cls", CLASSES), ("seg", None)])
def test_samples_are_those_of_the_list(root, task, classes):
    found, wanted = read_records(root / task, classes), samples_of(root, task)
    for name in ("image", "label_image", "class_id"):
        assert [getattr(sample, name) for sample in found] == [getattr(sample, name) for sample in wanted]
    assert [sample.read() for sample in found] == [sample.read() for sample in wanted]
    assert found[1].image_path == f"{root}/{task}.rec:bilder 1/ä1.png"


def datasets(root, samples, task):
    """What the drivers read in training and in testing, of a task's samples."""
    if task == "seg":
        return [TrainCrops(samples, RECORD, SETTINGS, 8, 48, 50)]
    return [TrainImages(samples, 24, SETTINGS), TestImages(samples, 26, SETTINGS, crops="three")]


@pytest.mark.parametrize("kind, workers", [("thread", 1), ("thread", 3), ("process", 2)])
@pytest.mark.parametrize("task, classes", [("cls", CLASSES), ("seg", None)])
def test_batches_are_those_of_the_files(root, task, classes, kind, workers):
    pairs = zip(datasets(root, samples_of(root, task), task), datasets(root, read_records(root / task, classes), task))
    for files, records in list(pairs)[:1 if kind == "process" else 2]:
        with Loader(files, 3, shuffle=True, seed=4) as left, \
                Loader(records, 3, shuffle=True, seed=4, workers=workers, kind=kind) as right:
            for _ in range(2):
                assert left.batches == right.batches > 2
                for wanted, found in zip(left, right):
                    assert (found.index == wanted.index).all() and found.pad == wanted.pad
                    np.testing.assert_array_equal(found.data, wanted.data)
                    np.testing.assert_array_equal(found.label, wanted.label)
                left.reset()
                right.reset()


def test_classes_that_are_not_known_are_allowed_where_that_is_asked_for(root, tmp_path):
    unknown = [replace(sample, class_id=-1) for sample in samples_of(root, "cls")]
    packed(tmp_path / "x", unknown)
    assert {sample.class_id for sample in read_records(tmp_path / "x", CLASSES, unknown=True)} == {-1}
    with pytest.raises(ValueError, match="has class -1, which is not among 0 … 2"):
        read_records(tmp_path / "x", CLASSES)
    data = Data(dataset="x", data_root="x", split="test", records=str(tmp_path / "x"))
    assert len(driver.find_samples(data, "classification", 3, unknown=True)) == IMAGES


def test_threads_share_a_file_and_processes_open_it_anew(root):
    samples = read_records(root / "seg")
    wanted = [sample.read() for sample in samples]
    assert len({id(sample.file) for sample in pickle.loads(pickle.dumps(samples))}) == 1
    order = np.random.default_rng(0).integers(0, IMAGES, 2000)
    for copies in (samples, pickle.loads(pickle.dumps(samples))):
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda i, copies=copies: copies[i].read() == wanted[i], order))


def test_reading_needs_no_mxnet(root):
    code = "import sys, ademxapp.data.records as r; r.read_records(sys.argv[1])[2].read(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, root / "seg"], cwd=ROOT, capture_output=True, text=True)
    assert "ademxapp.data.records" in done.stdout.split() and "mxnet" not in done.stdout.split(), done.stderr


# Errors


def test_a_record_file_cut_short_anywhere_is_told(copy):
    whole = copy.with_suffix(".rec").read_bytes()
    for length in [*range(0, 60), *range(60, len(whole), 97), *range(len(whole) - 40, len(whole))]:
        copy.with_suffix(".rec").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"x\.rec.*(cut short|no record|damaged)"):
            read_records(copy, CLASSES)


@pytest.mark.parametrize("class_id", ["1 ", "+1", "1_0", "", "x"])
def test_a_damaged_class_is_no_other_class(tmp_path, class_id):
    for value in ("10", class_id):
        (tmp_path / "x.rec").write_bytes(frame(contents_record({"task": "classification"}, [(0, (value, "a.jpg"))], 0)))
        if value == "10":
            assert read_contents(RecordFile(str(tmp_path / "x.rec")))[1][0].class_id == 10
    with pytest.raises(ValueError, match=r"x\.rec: its contents are damaged: a place or a class is no number; pack"):
        read_contents(RecordFile(str(tmp_path / "x.rec")))


@pytest.mark.parametrize("change, words", [
    (lambda lines: lines[:-1], r"x\.idx does not fit its \.rec: 6 lines for 7 samples"),
    (lambda lines: lines + ["7\t12"], "8 lines for 7 samples"), (lambda lines: [], "0 lines for 7 samples"),
    (lambda lines: [*lines[:2], "2\t16", *lines[3:]], r"x\.idx:3 does not fit the \.rec: it says \(2, 16\), the .rec"),
    (lambda lines: [lines[1], lines[0], *lines[2:]], r"x\.idx:1 does not fit"),
    (lambda lines: ["0\t0\tbild.jpg"], r"x\.idx is no index"), (lambda lines: ["null"], r"x\.idx is no index"),
    (lambda lines: ["ä"], r"x\.idx is no index")])
def test_an_index_that_does_not_fit_is_told(copy, change, words):
    path = copy.with_suffix(".idx")
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    with pytest.raises(ValueError, match=words):
        read_records(copy, CLASSES)


@pytest.mark.parametrize("change, words", [
    (lambda idx: idx.replace("10\t", "10\t4"), r"mx\.rec (has no record at|ends at)"),
    (lambda idx: idx[:idx.rindex("60\t")], r"mx\.rec goes on behind the last of the 6 records"),
    (lambda idx: idx + "70\t-8\n", "mx.idx is no index"),
    (lambda idx: idx + "70\t9000000\n", "mx.rec ends at byte"), (lambda idx: "", "mx.idx names no image")])
def test_an_index_that_does_not_fit_records_of_mxnet_is_told(root, tmp_path, change, words):
    shutil.copy(root / "mx.rec", tmp_path)
    (tmp_path / "mx.idx").write_text(change((root / "mx.idx").read_text()))
    with pytest.raises(ValueError, match=words):
        read_records(tmp_path / "mx", CLASSES)


@pytest.mark.parametrize("payload, words", [
    (mx.recordio.pack(mx.recordio.IRHeader(2, [1, 2], 0, 0), b"image"), "is no image with one class"),
    (mx.recordio.pack(mx.recordio.IRHeader(0, 0.5, 0, 0), b"image"), "is no image with one class"),
    (mx.recordio.pack(mx.recordio.IRHeader(0, float("nan"), 0, 0), b"image"), "is no image with one class"),
    (mx.recordio.pack(mx.recordio.IRHeader(0, 7.0, 0, 0), b"image"), "record 0 has class 7, which is not among 0 … 2"),
    (b"short", r"y\.rec ends at byte 16")])
def test_records_of_something_else_are_refused(tmp_path, payload, words):
    (tmp_path / "y.rec").write_bytes(frame(payload))
    (tmp_path / "y.idx").write_text("0\t0\n")
    with pytest.raises(ValueError, match=words):
        read_records(tmp_path / "y", CLASSES)


def test_what_is_no_record_file_is_refused(tmp_path):
    (tmp_path / "y.rec").write_bytes(b"PK\3\4 some archive" * 20)
    (tmp_path / "y.idx").write_text("0\t0\n")
    with pytest.raises(ValueError, match=r"y\.rec has no record at byte 0"):
        read_records(tmp_path / "y", CLASSES)


def test_a_later_version_is_refused(copy):
    path = copy.with_suffix(".rec")
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(ValueError, match=r"x\.rec has version 2 of its format, this program reads 1"):
        read_records(copy, CLASSES)


def test_records_of_the_other_task_are_refused(root):
    with pytest.raises(UsageError, match="seg.rec is packed from a segmentation list, wanted one for classification"):
        read_records(root / "seg", CLASSES)
    for name in ("cls", "mx"):
        with pytest.raises(UsageError, match=f"{name}.rec is packed from a classification list"):
            read_records(root / name)
    with pytest.raises(ValueError, match=r"cls\.rec: bilder 0/ä2\.JPEG has class 2, which is not among 0 … 1"):
        read_records(root / "cls", 2)


def test_damage_behind_the_opening_is_told_with_the_name(copy):
    sample = read_records(copy, CLASSES)[2]
    data = bytearray(copy.with_suffix(".rec").read_bytes())
    data[sample.place + 8 + 8] ^= 1  # the number of the sample
    copy.with_suffix(".rec").write_bytes(data)
    with pytest.raises(ValueError, match=f"the record at byte {sample.place} is not that of bilder 0/ä2.JPEG"):
        read_records(copy, CLASSES)[2].read()


def test_drivers_find_samples_in_records(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = Data(dataset="three", split="val", data_root="data/three", records=str(root / "cls"))
    found = driver.find_samples(data, "classification", 3)
    assert [sample.image for sample in found] == [sample.image for sample in samples_of(root, "cls")]
    with pytest.raises(UsageError, match=r"there is no file .*cls\.rec\.rec: --records wants what stands before \.rec"):
        driver.find_samples(replace(data, records=str(root / "cls.rec")), "segmentation")
    (tmp_path / "x.rec").touch()
    with pytest.raises(UsageError, match=r"there is no file x\.idx"):
        driver.find_samples(replace(data, records="x"), "segmentation")
    with pytest.raises(UsageError, match=r"looked for the list data/three/val\.lst and class folders in data/three/"
                                         "val; --list FILE or --records PREFIX names others"):
        driver.find_samples(replace(data, records=None), "classification", 3)
