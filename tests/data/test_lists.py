"""Lists: as this program writes them, as others do, and as many lines as ILSVRC has."""
import os
import pickle
import tracemalloc
import unicodedata

import numpy as np
import pytest

from ademxapp.data.lists import (
    Sample,
    list_task,
    read_classification_list,
    read_segmentation_list,
    write_classification_list,
    write_segmentation_list,
)
from ademxapp.data.records import read_records
from ademxapp.files import read_yaml
from ademxapp.symbol import network
from iclass.classifier import read_predictions, write_predictions
from iclass.datasets import TrainImages
from tools.benchmarks import reading
from tools.preparing.common import lines_of


def test_lists_come_back_as_they_were_written(tmp_path):
    cls = [Sample("root", "a/x.jpg", 3), Sample("root", "b y.jpg", 0)]
    write_classification_list(str(tmp_path / "cls.lst"), cls)
    assert (tmp_path / "cls.lst").read_text() == "0\t3\ta/x.jpg\n1\t0\tb y.jpg\n"
    assert list(read_classification_list(str(tmp_path / "cls.lst"), "root", 4)) == cls
    seg = [Sample("root", "a/x.jpg", label_image="t/x.png"), Sample("root", "y.jpg")]
    write_segmentation_list(str(tmp_path / "seg.lst"), seg)
    assert (tmp_path / "seg.lst").read_text() == "a/x.jpg\tt/x.png\ny.jpg\n"
    assert list(read_segmentation_list(str(tmp_path / "seg.lst"), "root")) == seg


def test_lists_of_other_systems_are_read(tmp_path):
    (tmp_path / "x.lst").write_bytes("0\t1\tä.jpg\r\n\r\n".encode())
    (sample,) = read_classification_list(str(tmp_path / "x.lst"), "r", 2)
    assert (sample.image, sample.class_id, sample.image_path) == ("ä.jpg", 1, "r/ä.jpg")


@pytest.mark.parametrize("text", [
    b"7\t3.000000\tclass a/one.jpg\n8\t0.000000\ttwo, 2.png\n",  # MXNet's im2rec
    b"\xef\xbb\xbf0\t3\tclass a\\one.jpg\r\n1\t0\ttwo, 2.png\r\n",  # Windows
    "0\t3\tclass a/one.jpg\n1\t0\ttwo, 2.png\n".encode("utf-16"), b"0\t3\tclass a/one.jpg\r1\t0\ttwo, 2.png",
    b'0,3,class a/one.jpg\n1,0,"two, 2.png"\n', b'"0";"3";"class a/one.jpg"\n1;0;two, 2.png\n',  # spreadsheets
    b'0\t3\t"class a/one.jpg"\n1\t0\ttwo, 2.png\n', b"0 3 class a/one.jpg\n1   0   two, 2.png\n",
    b"0\t3\tclass a/one.jpg \n 1 \t 0 \t two, 2.png  \n\n"])
def test_classification_lists_of_other_programs_are_read(tmp_path, text):
    (tmp_path / "x.lst").write_bytes(text)
    assert list(read_classification_list(str(tmp_path / "x.lst"), "root", 5)) == [
        Sample("root", "class a/one.jpg", 3), Sample("root", "two, 2.png", 0)]
    assert list_task(str(tmp_path / "x.lst")) == "classification"


@pytest.mark.parametrize("text", [
    b"a/my one.jpg\tt/my one.png\nlast.jpg\n", b"a/my one.jpg t/my one.png\nlast.jpg\n",
    b"a\\my one.jpg\tt\\my one.png \r\nlast.jpg\r\n", b'a/my one.jpg,"t/my one.png"\nlast.jpg\n',
    b'"a/my one.jpg"\t"t/my one.png"\n"last.jpg"\n'])
def test_segmentation_lists_of_other_programs_are_read(tmp_path, text):
    (tmp_path / "x.lst").write_bytes(text)
    assert list(read_segmentation_list(str(tmp_path / "x.lst"), "root")) == [
        Sample("root", "a/my one.jpg", label_image="t/my one.png"), Sample("root", "last.jpg")]
    assert list_task(str(tmp_path / "x.lst")) == "segmentation"


@pytest.mark.parametrize("name", ["a.jpg b.png", "a.jpg,b.png", "back\\slash.png", "space.png ", '"quoted".png',
                                  "two..dots.png"])
def test_a_name_that_is_there_as_it_stands_is_that_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"its bytes")
    (tmp_path / "seg.lst").write_text(f"{name}\n")
    (tmp_path / "cls.lst").write_text(f"0\t1\t{name}\n")
    for samples in (read_segmentation_list(str(tmp_path / "seg.lst"), str(tmp_path)),
                    read_classification_list(str(tmp_path / "cls.lst"), str(tmp_path))):
        assert [sample.image for sample in samples] == [name] and samples[0].read() == (b"its bytes", None)


def test_names_of_any_bytes_are_read_and_written_as_they_are(tmp_path):
    root, text = os.fsencode(tmp_path), b"0\t1\tcaf\xe9.jpg\n"
    with open(root + b"/caf\xe9.jpg", "wb") as out:
        out.write(b"its bytes")
    (tmp_path / "x.lst").write_bytes(text)
    samples = read_classification_list(str(tmp_path / "x.lst"), str(tmp_path), 2)
    assert samples[0].read() == (b"its bytes", None)
    write_classification_list(str(tmp_path / "y.lst"), samples)
    assert (tmp_path / "y.lst").read_bytes() == text
    write_predictions(str(tmp_path / "predictions.tsv"), samples, np.array([[0.25, 0.75]], np.float32))
    assert b"\ncaf\xe9.jpg\t1\t0.75" in (tmp_path / "predictions.tsv").read_bytes()
    assert read_predictions(str(tmp_path / "predictions.tsv"))[0][0] == samples[0].image


@pytest.mark.parametrize("listed, there", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_found_however_their_accents_are_written(tmp_path, listed, there):
    path = tmp_path / unicodedata.normalize(there, "Züge") / unicodedata.normalize(there, "é.jpg")
    path.parent.mkdir()
    path.write_bytes(b"its bytes")
    sample = Sample(str(tmp_path), unicodedata.normalize(listed, "Züge/é.jpg"))
    assert sample.read() == (b"its bytes", None)
    with pytest.raises(FileNotFoundError, match="none.jpg"):
        Sample(str(tmp_path), "none.jpg").read()


def test_a_long_list_takes_little_memory(tmp_path):
    """At ILSVRC's length it was 850 MiB, some 700 bytes a line; the text alone is 50."""
    lines = [f"{i}\t{i % 1000}\ttrain/n{i % 1000:08d}/n{i % 1000:08d}_{i}.JPEG\n" for i in range(100_000)]
    (tmp_path / "x.lst").write_text("".join(lines))
    tracemalloc.start()
    samples = read_classification_list(str(tmp_path / "x.lst"), "root", 1000)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 80 * len(lines) and peak < 190 * len(lines)  # 250 MiB / 1,281,167
    assert len(samples) == len(lines) and samples[-1] == Sample("root", "train/n00000999/n00000999_99999.JPEG", 999)
    part = samples[10:50:3]
    assert [sample.class_id for sample in part] == list(range(10, 50, 3)) and part[1].line == 14
    copied = pickle.loads(pickle.dumps(samples))
    assert len(pickle.dumps(samples[5])) < 300 and list(copied[::97]) == list(samples[::97])


@pytest.mark.parametrize("text, words", [
    (b"0\t3.5\ta.jpg\n", "x.lst:1: class '3.5'"), (b"0\t1\t2\ta.jpg\n", r"x.lst:1: 4 fields, .*; got '0.t1.t2.ta.jpg'"),
    (b"index,class,image\n0,1,a.jpg\n", "x.lst:1: 1 fields, wanted index<TAB>class<TAB>image; got 'index,class,image'"),
    ("0\t1\ta.jpg\n".encode("utf-16-le"), "x.lst is no list: it has zero bytes, as UTF-16 .* save it as UTF-8"),
    (b"0\t1\tC:\\data\\a.jpg\n", "'C:/data/a.jpg' leaves the data root"),
    (b"0\t1\tC:/data/a.jpg\n", "'C:/data/a.jpg' leaves the data root")])
def test_what_is_not_clear_in_a_list_is_told(tmp_path, text, words):
    (tmp_path / "x.lst").write_bytes(text)
    with pytest.raises(ValueError, match=words):
        read_classification_list(str(tmp_path / "x.lst"), "root", 5)


def test_a_clean_list_of_images_is_read_without_looking_for_them(tmp_path, monkeypatch):
    (tmp_path / "x.lst").write_text("".join(f"val/{i}.jpg\n" for i in range(9)))
    monkeypatch.delattr(os.path, "lexists")
    assert len(read_segmentation_list(str(tmp_path / "x.lst"), "root")) == 9


def test_a_line_that_can_be_divided_in_two_places_is_told(tmp_path):
    (tmp_path / "x.lst").write_text("a.jpg b.jpg c.png\n")
    with pytest.raises(ValueError, match="x.lst:1: 'a.jpg b.jpg c.png' may be divided at each of 2 spaces, wanted"):
        read_segmentation_list(str(tmp_path / "x.lst"), "root")


@pytest.mark.parametrize("text, words", [
    (b"0\t1\n", r"x.lst:1: 2 fields, wanted index<TAB>class<TAB>image"), (b"a.jpg 1 0\n", "x.lst:1: 1 fields"),
    (b"0\t1\ta.jpg\n1\t5\tb.jpg\n", r"x.lst:2: class '5' is not among 0 … 4"),
    (b"0\t-1\ta.jpg\n", "class '-1'"), ("0\t²\ta.jpg\n".encode(), "class '²'"), (b"0\tcat\ta.jpg\n", "class 'cat'"),
    (b"", "names no image"), (b"\n\n", "names no image"), (b"\xff\xfe0\t1\ta.jp\n", "is no list"),
    (b"0\t1\t../a.jpg\n", "'../a.jpg' leaves the data root"), (b"0\t1\t/etc/a.jpg\n", "leaves the data root"),
    (b"0\t1\ta/../../b.jpg\n", "leaves the data root"), (b"0\t1\t\n", "leaves the data root")])
def test_wrong_lines_are_named(tmp_path, text, words):
    (tmp_path / "x.lst").write_bytes(text)
    with pytest.raises(ValueError, match=words):
        read_classification_list(str(tmp_path / "x.lst"), "root", 5)


@pytest.mark.parametrize("text, words", [
    ("a.jpg\tb.png\tc\n", r"x.lst:1: 3 fields, wanted image<TAB>label"),
    ("a.jpg\t../b.png\n", "'../b.png' leaves the data root"), ("a.jpg\t\n", "leaves the data root")])
def test_wrong_lines_of_segmentation_lists_are_named(tmp_path, text, words):
    (tmp_path / "x.lst").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_segmentation_list(str(tmp_path / "x.lst"), "root")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_windows_editors_are_read(tmp_path, encoding):
    (tmp_path / "x.yaml").write_bytes("classes: [Straße,\r\n  Baum]\r\n".encode(encoding))
    assert read_yaml(str(tmp_path / "x.yaml")) == {"classes": ["Straße", "Baum"]}
    (tmp_path / "x.txt").write_bytes("Züge/1 \r\n\r\n2\r\n".encode(encoding))
    assert lines_of(str(tmp_path), "x.txt") == [("Züge/1", f"{tmp_path}/x.txt:1"), ("2", f"{tmp_path}/x.txt:3")]


def test_the_list_and_the_records_of_bench_lists_are_what_training_reads(tmp_path):
    reading.write_list(str(tmp_path), 2000)
    reading.write_records(str(tmp_path), 2000)
    listed = read_classification_list(str(tmp_path / "train.lst"), str(tmp_path), reading.CLASSES)
    packed = read_records(str(tmp_path / "train"), reading.CLASSES)
    assert [sample.class_id for sample in listed] == [sample.class_id for sample in packed] == [
        i // 2 for i in range(2000)]
    for samples in (listed, packed):
        data, label = TrainImages(samples, 32, network("rna-a1").input).load(1999, np.random.default_rng(0))
        assert data.shape == (3, 32, 32) and label == 999
    remark = reading.promised("a list", 3, [1.5, 2.0, 1.0], "takes 1 MiB")
    assert remark.record()["met"] and remark.record()["ratio"] == 2 and remark.remark == "1.00 … 2.00 s; takes 1 MiB"
