"""Packing: files as they are, or encoded anew; going on after a kill; what is broken is told, nothing is lost."""
import contextlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from packed import CLASSES, IMAGES, contents, packed, samples_of, serial, write_dataset
from PIL import Image

from ademxapp.cli import UsageError
from ademxapp.data import packing
from ademxapp.data.images import decode_label, decode_rgb
from ademxapp.data.lists import Sample
from ademxapp.data.records import read_records
from ademxapp.files import write_text
from tools import pack

PACK = [sys.executable, "tools/pack.py"]


@pytest.fixture
def root(tmp_path):
    write_dataset(str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def whole(root, tmp_path):
    """The bytes of the records and of the index of seg.lst, packed without disturbance."""
    packed(tmp_path / "whole", samples_of(root, "seg"))
    return contents(tmp_path / "whole")


def main(root, out, *options, task="seg"):
    pack.main([str(root / f"{task}.lst"), "--root", str(root), "--out", str(out), "--workers", "1", *options])


def leftovers(folder, prefix="x"):
    return sorted(name for name in os.listdir(folder) if name.startswith(prefix) or name.startswith(".part"))


# What is packed


@pytest.mark.parametrize("task, classes", [("cls", CLASSES), ("seg", None)])
def test_files_are_packed_as_they_are(root, tmp_path, capsys, task, classes):
    main(root, tmp_path / "new" / "x", task=task)
    assert [s.read() for s in read_records(tmp_path / "new" / "x", classes)] == \
        [s.read() for s in samples_of(root, task)]
    assert leftovers(tmp_path / "new") == ["x.idx", "x.rec"]
    size = os.path.getsize(tmp_path / "new" / "x.rec")
    assert f"x.rec: {IMAGES} samples, {size:,} bytes, read back and compared" in capsys.readouterr().out


@pytest.mark.parametrize("side", [16, 31, 50])
def test_the_shorter_side_has_the_length_asked_for_and_labels_follow(root, tmp_path, side):
    main(root, tmp_path / "x", "--shorter-side", str(side))
    for found, source in zip(read_records(tmp_path / "x"), samples_of(root, "seg")):
        (image_file, label_file), (old_image, old_label) = found.read(), source.read()
        image, label = decode_rgb(image_file, "x"), decode_label(label_file, "x")
        before, truth = decode_rgb(old_image, "x"), decode_label(old_label, "x")
        assert min(image.shape[:2]) == side and label.shape == image.shape[:2]
        if min(before.shape[:2]) == side:
            assert (image_file, label_file) == (old_image, old_label)
            continue
        method = Image.LANCZOS if side < min(before.shape[:2]) else Image.BICUBIC
        wanted = np.asarray(Image.fromarray(before).resize(image.shape[1::-1], method))
        assert np.abs(image.astype(float) - wanted).mean() < 6  # JPEG has colours at half the resolution
        places = [(np.arange(n) + 0.5) * m / n for n, m in zip(label.shape, truth.shape)]
        clear = np.ix_(*(place % 1 != 0 for place in places))  # not between two pixels
        rows, columns = (place.astype(int) for place in places)
        np.testing.assert_array_equal(label[clear], truth[rows][:, columns][clear])


def test_labels_of_sixteen_bits_stay_so(tmp_path):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "x.png")
    Image.fromarray(np.full((40, 40), 40000, np.uint16)).save(tmp_path / "t.png")
    encoding = packing.Encoding(shorter_side=20)
    _, label = encoding.encode(Sample(str(tmp_path), "x.png", label_image="t.png"))
    np.testing.assert_array_equal(decode_label(label, "t"), np.full((20, 20), 40000))


def test_a_quality_encodes_all_images_anew_and_no_label(root, tmp_path):
    sizes = []
    for quality in (40, 90):
        main(root, tmp_path / str(quality), "--quality", str(quality))
        samples = read_records(tmp_path / str(quality))
        for found, source in zip(samples, samples_of(root, "seg")):
            (image, label), (before, truth) = found.read(), source.read()
            assert Image.open(io.BytesIO(image)).format == "JPEG" and label == truth
            assert decode_rgb(image, "x").shape == decode_rgb(before, "x").shape  # not turned
        tables = Image.open(io.BytesIO(samples[0].read()[0])).quantization
        reference = io.BytesIO()
        Image.new("RGB", (8, 8)).save(reference, format="JPEG", quality=quality)
        assert tables == Image.open(reference).quantization
        sizes.append(sum(len(sample.read()[0]) for sample in samples))
    assert sizes[0] < sizes[1]


def test_the_lines_tell_the_task_unless_it_is_given(root, tmp_path):
    (root / "mixed.lst").write_text("0\t1\n" + (root / "cls.lst").read_text())
    with pytest.raises(ValueError, match=r"mixed\.lst:1: 2 fields, wanted index<TAB>class<TAB>image"):
        main(root, tmp_path / "x", task="mixed")
    with pytest.raises(ValueError, match=r"mixed\.lst:2: 3 fields, wanted image<TAB>label"):
        main(root, tmp_path / "x", "--task", "segmentation", task="mixed")


def test_processes_change_nothing_and_end_with_a_killed_parent(root, tmp_path):
    """The list is long enough for processes, and the last file a pipe that nobody writes to."""
    lines = (root / "seg.lst").read_text() * 40
    (root / "long.lst").write_text(lines)
    main(root, tmp_path / "one", task="long")
    os.mkfifo(root / "pipe.jpg")
    (root / "blocked.lst").write_text(lines + "pipe.jpg\ttruth0.png\n")
    command = [*PACK, root / "blocked.lst", "--root", root, "--out", tmp_path / "x", "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: (tmp_path / "x.journal.part").exists() and lines_of(tmp_path / "x.journal.part") == 281)
        children = children_of(process.pid)
        assert len(children) >= 2 and leftovers(tmp_path) == ["x.journal.part", "x.rec.part"]
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(os.path.exists(f"/proc/{child}") for child in children))
    os.unlink(root / "pipe.jpg")
    os.link(samples_of(root, "seg")[0].image_path, root / "pipe.jpg")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "went on behind the 280 samples of an earlier run" in done.stdout
    found, wanted = read_records(tmp_path / "x"), read_records(tmp_path / "one")
    assert [s.read() for s in found] == [s.read() for s in wanted] + [wanted[0].read()]
    assert [s.place for s in found][:280] == [s.place for s in wanted]


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def lines_of(path):
    return path.read_bytes().count(b"\n")


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as source:
        return source.read().split()


# Going on


class Stopped(Exception):
    pass


def stopping_after(count):
    """`serial`, up to an end that no code can foresee."""
    def run(function, items, description, chunk):
        for done, item in enumerate(items):
            if done == count:
                raise Stopped
            yield function(item)
    return run


@pytest.mark.parametrize("at", range(IMAGES))
def test_a_run_goes_on_where_another_ended(root, tmp_path, whole, at):
    samples = samples_of(root, "seg")
    for _ in range(2):
        with pytest.raises(Stopped):
            packed(tmp_path / "x", samples, run=stopping_after(at // 2 + 1))
        assert leftovers(tmp_path) == ["x.journal.part", "x.rec.part"]
        if at // 2 + 1 > (IMAGES - 1) // 2:
            break
    result = packed(tmp_path / "x", samples)
    assert result.samples == IMAGES and result.went_on_at >= at // 2 + 1
    assert contents(tmp_path / "x") == whole and leftovers(tmp_path) == ["x.idx", "x.rec"]


def test_a_run_goes_on_from_whatever_a_kill_leaves(root, tmp_path, whole):
    """The journal's line follows its record: records may have more than the journal, or, if power failed, less."""
    samples = samples_of(root, "seg")
    with pytest.raises(Stopped):
        packed(tmp_path / "x", samples, run=stopping_after(5))
    journal, records = ((tmp_path / f"x.{name}.part").read_bytes() for name in ("journal", "rec"))
    rng = np.random.default_rng(0)
    for _ in range(60):
        cuts = rng.integers(0, len(journal) + 1), rng.integers(0, len(records) + 1)
        (tmp_path / "x.journal.part").write_bytes(journal[:cuts[0]] + (b"" if rng.integers(2) else b"\0\0\n"))
        (tmp_path / "x.rec.part").write_bytes(records[:cuts[1]] + rng.bytes(9))
        packed(tmp_path / "x", samples, afresh=bool(cuts[0] < journal.index(b"\n") + 1))
        assert contents(tmp_path / "x") == whole and leftovers(tmp_path) == ["x.idx", "x.rec"]


@pytest.mark.parametrize("lost", [5, 700, 4096])
def test_a_run_goes_on_from_what_a_power_cut_leaves(root, tmp_path, whole, lost):
    """The last blocks have their length and no contents; the journal may be on the disk already."""
    samples = samples_of(root, "seg")
    with pytest.raises(Stopped):
        packed(tmp_path / "x", samples, run=stopping_after(6))
    records = (tmp_path / "x.rec.part").read_bytes()
    (tmp_path / "x.rec.part").write_bytes(records[:-lost] + bytes(lost))
    result = packed(tmp_path / "x", samples)
    assert result.went_on_at == next(i for i, sample in enumerate(read_records(tmp_path / "whole"))
                                     if sample.place + len(frame_of(whole, i)) > len(records) - lost)
    assert contents(tmp_path / "x") == whole and leftovers(tmp_path) == ["x.idx", "x.rec"]


def frame_of(whole, number):
    """The bytes of a record."""
    places = [int(line.split()[1]) for line in whole[1].decode().splitlines()]
    return whole[0][places[number]:places[number + 1] if number + 1 < len(places) else None]


def test_an_unfinished_pack_does_not_go_on_with_other_images(root, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(root, other)
    with pytest.raises(Stopped):
        packed(tmp_path / "x", samples_of(root, "seg"), run=stopping_after(3))
    with pytest.raises(UsageError, match=f"is unfinished, .*, of images below {root}: finish that"):
        packed(tmp_path / "x", samples_of(other, "seg"))
    (tmp_path / "link").symlink_to(root)
    assert packed(tmp_path / "x", samples_of(tmp_path / "link", "seg")).went_on_at == 3


def test_names_of_any_bytes_are_packed(root, tmp_path):
    name = os.path.join(os.fsencode(root), b"caf\xe9.jpg")
    shutil.copy(samples_of(root, "cls")[0].image_path, name)
    with open(root / "any.lst", "wb") as out:
        out.write(b"0\t2\tcaf\xe9.jpg\n")
    main(root, tmp_path / "x", task="any")
    sample, = read_records(tmp_path / "x", CLASSES)
    assert os.fsencode(sample.image) == b"caf\xe9.jpg" and len(sample.read()[0]) == os.path.getsize(name)


def test_a_run_that_ended_between_the_two_names_is_finished(root, tmp_path, whole, monkeypatch, capsys):
    def stop(*_):
        raise Stopped
    with monkeypatch.context() as stopping, pytest.raises(Stopped):
        stopping.setattr(packing, "write_text", stop)
        main(root, tmp_path / "x")
    assert leftovers(tmp_path) == ["x.journal.part", "x.rec"]
    main(root, tmp_path / "x")
    assert contents(tmp_path / "x") == whole and leftovers(tmp_path) == ["x.idx", "x.rec"]
    assert "x.rec: packed already, 7 samples, 0 left out" in capsys.readouterr().out


def test_what_is_there_of_another_plan_is_not_replaced_unasked(root, tmp_path, whole):
    main(root, tmp_path / "x")
    with pytest.raises(UsageError, match=r"x\.rec exists, and is not what this list and these options give: .* --over"):
        main(root, tmp_path / "x", "--quality", "50")
    assert contents(tmp_path / "x") == whole
    main(root, tmp_path / "x", "--quality", "50", "--overwrite")
    assert len(contents(tmp_path / "x")[0]) < len(whole[0])
    samples = samples_of(root, "seg")
    with pytest.raises(Stopped):
        packed(tmp_path / "y", samples[1:], run=stopping_after(3))
    with pytest.raises(UsageError, match=r"y\.rec\.part is unfinished, of another list .* --overwrite"):
        packed(tmp_path / "y", samples)
    assert packed(tmp_path / "y", samples[1:]).went_on_at == 3
    with pytest.raises(Stopped):
        packed(tmp_path / "z", samples[1:], run=stopping_after(3))
    assert packed(tmp_path / "z", samples, afresh=True).went_on_at == 0
    assert contents(tmp_path / "z") == whole


def test_two_runs_do_not_write_one_file(root, tmp_path, whole):
    samples = samples_of(root, "seg")

    def interrupted(function, items, description, chunk):
        for item in items:
            with pytest.raises(ValueError, match=r"x\.journal\.part is in use: another run packs"):
                packed(tmp_path / "x", samples)
            yield function(item)
    packed(tmp_path / "x", samples, run=interrupted)
    assert contents(tmp_path / "x") == whole


# What goes wrong


def broken(root, name, change):
    (root / name).write_bytes(change((root / name).read_bytes()))


@pytest.mark.parametrize("name, change, words", [
    ("bilder 0/ä2.JPEG", lambda data: data[:len(data) // 2], "ä2.JPEG cannot be decoded"),
    ("bilder 0/ä2.JPEG", lambda data: b"", "ä2.JPEG cannot be decoded: the file is empty"),
    ("bilder 0/ä2.JPEG", lambda data: b"<html>", "ä2.JPEG cannot be decoded: no known image format"),
    ("truth2.png", lambda data: data[:-40], "truth2.png cannot be decoded"),
    ("truth2.png", lambda data: b"", "truth2.png cannot be decoded: the file is empty")])
def test_a_broken_file_ends_it_with_its_name_and_line(root, tmp_path, capsys, name, change, words):
    broken(root, name, change)
    with pytest.raises(ValueError, match=rf"seg\.lst:3: .*{words}.*; --skip-broken leaves out what is broken"):
        main(root, tmp_path / "x")
    assert leftovers(tmp_path) == ["x.journal.part", "x.rec.part"]
    main(root, tmp_path / "x", "--skip-broken")
    assert [sample.image for sample in read_records(tmp_path / "x")] == \
        [sample.image for i, sample in enumerate(samples_of(root, "seg")) if i != 2]
    (line,) = (tmp_path / "x.left-out.txt").read_text().splitlines()
    assert f"{root / 'seg.lst'}:3: " in line and words.split(" cannot")[0] in line
    assert f"x.left-out.txt: 1 samples left out, the first: {root / 'seg.lst'}:3: " in capsys.readouterr().out


def test_a_mended_file_goes_on(root, tmp_path, whole):
    path = root / "bilder 0" / "ä2.JPEG"
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(ValueError, match=r"seg\.lst:3: .*ä2\.JPEG: No such file or directory"):
        main(root, tmp_path / "x")
    with pytest.raises(Stopped):
        packed(tmp_path / "x", samples_of(root, "seg"), skip_broken=True, run=stopping_after(3))
    path.write_bytes(data)
    main(root, tmp_path / "x")
    assert contents(tmp_path / "x") == whole


@pytest.mark.parametrize("label, words", [
    (np.zeros((36, 36), np.uint8), r"truth2\.png has 36x36 pixels, its image .*ä2\.JPEG 37x36"),
    (np.zeros((36, 37, 3), np.uint8), r"truth2\.png is no label map: it has RGB pixels, wanted one index per pixel")])
def test_a_label_that_does_not_fit_is_told(root, tmp_path, label, words):
    Image.fromarray(label).save(root / "truth2.png")
    with pytest.raises(ValueError, match=rf"seg\.lst:3: .*{words}"):
        main(root, tmp_path / "x")


def test_a_list_of_nothing_but_broken_files_leaves_nothing(root, tmp_path):
    for i in range(IMAGES):
        os.unlink(root / f"truth{i}.png")
    for options in ([], ["--skip-broken"]):
        with pytest.raises(ValueError, match=r"seg\.lst:1: .*truth0\.png: No such file"):
            main(root, tmp_path / "x", *options)
        assert leftovers(tmp_path) == []


def test_links_below_the_root_lead_where_their_owner_wants_and_paths_do_not(root, tmp_path, whole):
    (tmp_path / "linked").symlink_to(root)
    os.rename(root / "bilder 1", tmp_path / "elsewhere")
    (root / "bilder 1").symlink_to(tmp_path / "elsewhere")
    main(tmp_path / "linked", tmp_path / "x")
    assert contents(tmp_path / "x") == whole
    for path in ("../elsewhere/ä1.png", "/etc/hostname", "bilder 0/../../elsewhere/ä1.png"):
        (root / "out.lst").write_text(f"bilder 0/ä2.JPEG\ttruth2.png\n{path}\ttruth1.png\n")
        with pytest.raises(ValueError, match=r"out\.lst:2: the path '.*' leaves the data root"):
            main(root, tmp_path / "y", task="out")


@contextlib.contextmanager
def largest_file(size):
    """Files cannot grow beyond a size: writes fail in their middle, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_file_without_space_is_named_and_leaves_nothing(tmp_path):
    with largest_file(1000), pytest.raises(OSError, match="File too large: '.*/x.txt'"):
        write_text(str(tmp_path / "x.txt"), "x" * 100_000)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.97, 0.9999])
def test_a_disk_without_space_is_told_and_the_same_command_goes_on(root, tmp_path, whole, share):
    with largest_file(int(share * len(whole[0]))), pytest.raises(
            OSError, match=r"; what is packed is kept, and the same command goes on: '.*x\.\w+\.part'"):
        packed(tmp_path / "x", samples_of(root, "seg"))
    assert not {"x.rec", "x.idx"} & set(leftovers(tmp_path))
    packed(tmp_path / "x", samples_of(root, "seg"))
    assert contents(tmp_path / "x") == whole


@pytest.mark.parametrize("place", [0, 9, 70, 1000])
def test_what_reads_back_otherwise_is_told_and_removed(root, tmp_path, whole, place):
    def damaging(function, items, description, chunk):
        if description == "comparing":
            data = bytearray((tmp_path / "x.rec.part").read_bytes())
            data[place] ^= 4
            (tmp_path / "x.rec.part").write_bytes(data)
        return serial(function, items, description, chunk)
    with pytest.raises(ValueError, match=r"x\.rec\.part reads back otherwise than it was written, in 1 of 8 records"):
        packed(tmp_path / "x", samples_of(root, "seg"), run=damaging)
    assert leftovers(tmp_path) == ["x.journal.part"]
    packed(tmp_path / "x", samples_of(root, "seg"))
    assert contents(tmp_path / "x") == whole


@pytest.mark.parametrize("options, words", [
    (["--out", "x.rec"], "--out x.rec: wanted what stands before .rec and .idx"), (["--out", "x/"], "--out x/: wanted"),
    (["--quality", "101"], "out of range"), (["--shorter-side", "0"], "out of range"),
    (["--root", "nowhere"], "there is no folder nowhere")])
def test_wrong_use_is_told(root, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        main(root, tmp_path / "x", *options)
