"""The loader: the same batches from any workers, and errors that reach the trainer."""
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from slow_images import FailingImages, GrowingImages, SlowImages, UnevenImages

from ademxapp.data import loader as loader_module
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample
from ademxapp.data.loader import Loader
from ademxapp.symbol import network
from iclass.datasets import TrainImages

SETTINGS = network("rna-a1").input
IMAGES = 11
WORKERS = [("thread", 1), ("thread", 2), ("thread", 3), ("process", 1), ("process", 2), ("process", 3)]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Samples whose class is their number."""
    root, rng = tmp_path_factory.mktemp("loader"), np.random.default_rng(0)
    for i in range(IMAGES):
        write_png(str(root / f"{i}.png"), rng.integers(0, 256, (20, 24, 3)).astype(np.uint8))
    return [Sample(str(root), f"{i}.png", i) for i in range(IMAGES)]


@pytest.fixture
def dataset(samples):
    return TrainImages(samples, 8, SETTINGS)


def batches(loader, epochs=1):
    """(data, labels, pad) of every batch of some epochs, as an epoch's list each."""
    result = []
    for _ in range(epochs):
        result.append([(batch.data.copy(), batch.label.tolist(), batch.pad) for batch in loader])
        loader.reset()
    return result


def same(found, wanted):
    assert [[rest for _, *rest in epoch] for epoch in found] == [[rest for _, *rest in epoch] for epoch in wanted]
    for left, right in zip(found, wanted):
        for (data, *_), (other, *_) in zip(left, right):
            np.testing.assert_array_equal(data, other)


@pytest.fixture(scope="module")
def reference(samples):
    """Three epochs, as one thread reads them."""
    with Loader(TrainImages(samples, 8, SETTINGS), 4, shuffle=True, seed=5) as loader:
        return batches(loader, 3)


@pytest.mark.parametrize("kind, workers", WORKERS[1:])
def test_batches_do_not_depend_on_the_workers(dataset, reference, kind, workers):
    with Loader(dataset, 4, shuffle=True, seed=5, workers=workers, kind=kind) as loader:
        same(batches(loader, 3), reference)


def test_every_epoch_has_all_images_in_another_order_and_otherwise_augmented(reference):
    orders = []
    for epoch in reference:
        labels = [label for _, labels, _ in epoch for label in labels][:IMAGES]
        assert sorted(labels) == list(range(IMAGES))
        orders.append(labels)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    first, second = ({label: image for data, labels, _ in epoch for image, label in zip(data, labels)}
                     for epoch in reference[:2])
    assert all((first[label] != second[label]).any() for label in first)


def test_another_seed_gives_other_batches(dataset, reference):
    with Loader(dataset, 4, shuffle=True, seed=6) as loader:
        (epoch,) = batches(loader)
    assert [labels for _, labels, _ in epoch] != [labels for _, labels, _ in reference[0]]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_going_on_in_the_middle_gives_the_same_batches(dataset, reference, kind):
    with Loader(dataset, 4, shuffle=True, seed=5, workers=2, kind=kind) as loader:
        next(loader)
        loader.start(1, batch=1)
        same(batches(loader, 2), [reference[1][1:], reference[2]])


def test_an_epoch_that_was_left_in_the_middle_is_followed_by_the_next(dataset, reference):
    with Loader(dataset, 4, shuffle=True, seed=5) as loader:
        loader.reset()  # untouched: still the first
        next(loader)
        loader.reset()
        same(batches(loader, 2), reference[1:])


def test_the_last_batch_wraps_around_and_tells_how_much(dataset):
    with Loader(dataset, 4) as loader:
        assert loader.batches == 3
        ((*_, (_, labels, pad)),) = batches(loader)
    assert labels == [8, 9, 10, 0] and pad == 1


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_arrays_are_those_of_the_batches_without_padding(dataset, reference, kind):
    with Loader(dataset, 4, shuffle=True, seed=5, workers=2, kind=kind) as loader:
        next(loader)
        found = [(data.copy(), labels.tolist()) for data, labels in loader.arrays()]
        assert [len(labels) for _, labels in found] == [4, 3]
        same([found], [[(data[:4 - pad], labels[:4 - pad]) for data, labels, pad in reference[0][1:]]])
        loader.reset()
        same(batches(loader), reference[1:2])


def test_arrays_that_are_given_up_leave_the_loader_as_it_is(dataset, reference):
    with Loader(dataset, 4, shuffle=True, seed=5) as loader:
        for _ in loader.arrays():
            break
        loader.reset()
        same(batches(loader, 2), reference[1:])


def test_the_last_batch_can_be_left_out(dataset):
    with Loader(dataset, 4, drop_last=True) as loader:
        assert loader.batches == 2
        (epoch,) = batches(loader)
    assert [labels for _, labels, _ in epoch] == [[0, 1, 2, 3], [4, 5, 6, 7]] and not any(pad for *_, pad in epoch)


def test_a_batch_larger_than_the_dataset(dataset):
    with Loader(dataset, 25) as loader:
        ((_, labels, pad),), = batches(loader)
    assert labels == [i % IMAGES for i in range(25)] and pad == 14
    with pytest.raises(ValueError, match="11 images in 1 .* do not fill one batch of 25.* --batch-images"):
        Loader(dataset, 25, drop_last=True)


@pytest.mark.parametrize("shuffle", [False, True])
def test_parts_are_equal_and_share_no_image(dataset, shuffle):
    seen = []
    for part in range(3):
        with Loader(dataset, 3, shuffle=shuffle, seed=1, part=part, parts=3) as loader:
            assert loader.batches == 1
            ((_, labels, pad),), = batches(loader)
        assert pad == 0
        seen += labels
    assert len(set(seen)) == 9


def test_batches_are_what_mxnet_is_told(dataset):
    with Loader(dataset, 4, drop_last=True) as loader:
        batch = next(loader)
        assert loader.data_shape == batch.data.shape == (4, 3, 8, 8)
        assert loader.label_shape == batch.label.shape == (4,)
        assert batch.index.tolist() == [0, 1, 2, 3]


def test_an_unknown_kind_names_the_known(dataset):
    with pytest.raises(ValueError, match="'coroutine'; known are thread, process"):
        Loader(dataset, 4, kind="coroutine")


# Errors


@pytest.mark.parametrize("kind, workers", [("thread", 1), ("thread", 3), ("process", 2)])
@pytest.mark.parametrize("trouble", ["cut short", "missing"])
def test_an_image_that_cannot_be_read_is_an_error_that_names_it(samples, tmp_path, kind, workers, trouble):
    bad = Sample(str(tmp_path), "bad.png", 0)
    if trouble == "cut short":
        with open(samples[0].image_path, "rb") as source:
            (tmp_path / "bad.png").write_bytes(source.read()[:200])
    dataset = TrainImages(samples[:7] + [bad] + samples[7:], 8, SETTINGS)
    began = time.monotonic()
    with Loader(dataset, 2, workers=workers, kind=kind) as loader:
        found = [next(loader).label.tolist() for _ in range(3)]
        with pytest.raises((ValueError, OSError)) as caught:
            next(loader)
    assert found == [[0, 1], [2, 3], [4, 5]]  # what came before is still given
    assert "bad.png" in f"{caught.value} {getattr(caught.value, 'filename', '')}"
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_error_that_nobody_foresaw_names_the_image_too(tmp_path, kind):
    with Loader(FailingImages(tmp_path, 0), 4, kind=kind) as loader:
        next(loader)
        with pytest.raises(RuntimeError, match="image-005 could not be read: KeyError.'surprise'."):
            next(loader)


def test_a_killed_process_is_an_error_that_names_what_it_read(tmp_path):
    with Loader(SlowImages(tmp_path, 0.15), 2, workers=2, kind="process") as loader:
        next(loader)
        victim = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
        pids = [int(path.name) for path in tmp_path.iterdir()]
        os.kill(int(victim.name), signal.SIGKILL)
        began = time.monotonic()
        read, last = (int(text[-3:] or 0) for text in (
            victim.read_text(), max(one.read_text() for one in tmp_path.iterdir())))
        with pytest.raises(ChildProcessError, match="died .exit status -9. during the reading of image-") as caught:
            for _ in range(40):
                next(loader)
        assert time.monotonic() - began < 10
    # killed before or after it took its next image, which may be behind the other's
    assert read <= int(str(caught.value).partition("image-")[2][:3]) <= last + 2
    assert len(pids) == 2 and not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_going_elsewhere_amid_reading_mixes_nothing_up(tmp_path, kind):
    """What a worker was reading must not end up in a batch that is asked for later."""
    with Loader(UnevenImages(tmp_path, 0.5), 2, workers=2, kind=kind) as loader:
        loader.start(0, 15)
        next(loader)  # by now the slow one is being read, or will be soon
        time.sleep(0.1)
        loader.start(0, 0)
        for number in range(8):
            found = next(loader)
            if number == 2:
                time.sleep(0.6)
            wanted = [2.0 * number, 2.0 * number + 1]
            assert found.label.tolist() == wanted
            assert [set(image.reshape(-1)) for image in found.data] == [{value} for value in wanted]


def test_batches_stay_as_they_are_while_others_are_read(dataset, reference):
    with Loader(dataset, 4, shuffle=True, seed=5, workers=2) as loader:
        for batch, (data, label, _) in zip(loader, reference[0]):
            time.sleep(0.05)
            np.testing.assert_array_equal(batch.data, data)
            assert batch.label.tolist() == label


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_image_of_another_shape_is_an_error_that_names_it(tmp_path, kind):
    with Loader(GrowingImages(tmp_path, 0), 4, kind=kind) as loader:
        next(loader)
        with pytest.raises(RuntimeError, match=r"image-006 .*shape \(1, 1, 300\), not \(1, 300, 300"):
            next(loader)


def test_a_process_holds_no_list_and_a_request_brings_its_sample(samples, monkeypatch):
    """With ILSVRC's list, every process was sent 1.3 million samples before it could begin."""
    many = TrainImages(samples * 20_000, 8, SETTINGS)
    sent = []

    class Told:
        def __init__(self, function, *_, **__):
            sent.append(len(pickle.dumps(function.args[0])))
            self._load = function.func, function.args

        def __call__(self, what, *request):
            sent.append(len(pickle.dumps(request)))
            function, arguments = self._load
            return function(*arguments, *pickle.loads(pickle.dumps(request)))

        def close(self):
            pass

    monkeypatch.setattr(loader_module, "Processes", Told)
    with Loader(many, 4, shuffle=True, seed=5, kind="process") as told, Loader(many, 4, shuffle=True, seed=5) as plain:
        np.testing.assert_array_equal(next(told).data[0], next(plain).data[0])
    assert max(sent) < 5000


PROGRAM = """
import functools, os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
from ademxapp.data.loader import BatchMemory, load_sample
from ademxapp.processes import Processes
from slow_images import SlowImages
images = SlowImages({folder!r}, 0)
memory = BatchMemory(1, 1, images.data_shape, images.label_shape)
processes = Processes(functools.partial(load_sample, images, memory), 2, "--prefetch-threads")
for _ in range(2):  # both of them, in turn
    processes("a reading", 0, 0, 0, 0, 7)
    assert (memory.data == 7).all() and memory.labels.tolist() == [[7]]
    memory.data[:] = memory.labels[:] = 0
{end}
"""


def test_the_memory_of_batches_is_shared_without_linux(tmp_path):
    """As where the system has no nameless memory: a file without a name is in its place."""
    without = "import os\ndel os.memfd_create\n" + PROGRAM
    code = without.format(root=str(ROOT), tests=str(ROOT / "tests" / "helpers"), folder=str(tmp_path), end="")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100,
                          env={**os.environ, "TMPDIR": str(temporary)})
    assert (done.returncode, done.stderr) == (0, "") and not list(temporary.iterdir())


@pytest.mark.parametrize("end, status", [("", 0), ("raise SystemExit(3)", 3),
                                         ("os.kill(os.getpid(), signal.SIGKILL)", -9)], ids=["end", "error", "killed"])
def test_no_process_outlives_the_program(tmp_path, end, status):
    code = PROGRAM.format(root=str(ROOT), tests=str(ROOT / "tests" / "helpers"), folder=str(tmp_path), end=end)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == status, done.stderr
    pids = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not any(alive(pid) for pid in pids)


def test_reading_processes_import_neither_mxnet_nor_the_main_script(tmp_path):
    """As with a driver: a script without a guard that uses the loader. It ends though nothing is closed."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "helpers")!r}]
from ademxapp.data.loader import Loader
from slow_images import TellingImages
loader = Loader(TellingImages({str(tmp_path)!r}, 0), 2, kind="process")
print("imported in", next(loader).label, "mxnet" in sys.modules, __file__)
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.stdout == f"imported in [0. 0.] False {script}\n", done.stderr


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
