"""prepare.py for classification: ILSVRC, Places365, CIFAR-10, folders of classes; and the records of those."""
import hashlib
import os
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import savemat

from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.data.lists import read_classification_list
from iclass import ilsvrc
from iclass.datasets import DATASETS, dataset_record
from tools import prepare

SYNSETS = DATASETS["ilsvrc-cls"].folders
KIT = {1001: "n00001740", 1: SYNSETS[999], 2: SYNSETS[0], 3: SYNSETS[217], 4: SYNSETS[5]}  # 1001: no class, above some


def rows(path, root=""):
    """(class, image) of every line of a list."""
    return [(sample.class_id, sample.image) for sample in read_classification_list(str(path), str(root))]


def image(path, seed=0, side=20):
    """Write a small image of any kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG")


def prepared(dataset, root, *options):
    """The folder of lists that preparing writes."""
    prepare.main([dataset, "--root", str(root), "--out", str(root / "lists"), *map(str, options)])
    return root / "lists"


def write_kit(folder, truth, synsets=KIT):
    """A development kit: ground truth by the kit's numbers, and meta.mat, a column of structures."""
    table = np.empty((len(synsets), 1), [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    for row, (number, synset) in enumerate(synsets.items()):
        table[row, 0] = (np.uint16(number), synset, "a name, another name")
    (folder / "data").mkdir(parents=True)
    savemat(folder / "data" / "meta.mat", {"synsets": table})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{n}\n" for n in truth))


@pytest.fixture
def ilsvrc_tree(tmp_path):
    """Six training images of three classes, four flat val images, two test images."""
    for place, class_id in enumerate((0, 0, 5, 217, 217, 217)):
        image(tmp_path / "train" / SYNSETS[class_id] / f"{SYNSETS[class_id]}_{place}.JPEG", place)
    for number in range(1, 5):
        image(tmp_path / "val" / f"ILSVRC2012_val_{number:08}.JPEG", number)
        image(tmp_path / "test" / f"ILSVRC2012_test_{number:08}.JPEG", number)
    return tmp_path


def test_ilsvrc_with_the_development_kit(ilsvrc_tree, capsys):
    write_kit(ilsvrc_tree / "ILSVRC2012_devkit_t12", (3, 1, 2, 4))
    lists = prepared("ilsvrc-cls", ilsvrc_tree) / "ilsvrc-cls"
    assert [class_id for class_id, _ in rows(lists / "train.lst")] == [0, 0, 5, 217, 217, 217]
    assert rows(lists / "val.lst") == [(class_id, f"val/ILSVRC2012_val_{number:08}.JPEG")
                                       for number, class_id in enumerate((217, 999, 0, 5), 1)]
    assert {class_id for class_id, _ in rows(lists / "test.lst")} == {-1}
    out = capsys.readouterr().out
    assert "odd: the whole ilsvrc-cls train has 1,281,167 images" in out and "val has 50,000 images" in out
    assert "3 of 1,000 classes, images in each: 1 (n01496331 electric ray) to 3 (n02102040 English springer)" in out


def test_the_kit_a_list_and_folders_say_the_same(ilsvrc_tree):
    write_kit(ilsvrc_tree / "kit", (3, 1, 2, 4))
    by_kit = rows(prepared("ilsvrc-cls", ilsvrc_tree, "--devkit", ilsvrc_tree / "kit") / "ilsvrc-cls" / "val.lst")
    for class_of in (str, lambda class_id: SYNSETS[class_id]):
        names = ilsvrc_tree / "val.txt"
        names.write_text("".join(f"{os.path.basename(path)} {class_of(class_id)}\n" for class_id, path in by_kit))
        prepared("ilsvrc-cls", ilsvrc_tree, "--val-labels", names, "--no-decode")
        assert rows(ilsvrc_tree / "lists" / "ilsvrc-cls" / "val.lst") == by_kit
    for class_id, path in by_kit:
        (ilsvrc_tree / "val" / SYNSETS[class_id]).mkdir()
        shutil.move(str(ilsvrc_tree / path), str(ilsvrc_tree / "val" / SYNSETS[class_id]))
    prepared("ilsvrc-cls", ilsvrc_tree)
    assert rows(ilsvrc_tree / "lists" / "ilsvrc-cls" / "val.lst") == [
        (class_id, path.replace("val/", f"val/{SYNSETS[class_id]}/")) for class_id, path in by_kit]


@pytest.mark.parametrize("truth, damage, words", [
    ((3, 1, 2, 1001), None, "truth.txt:4: '1001' is none of the kit's numbers"),
    ((3, 1, 2, "x"), None, "truth.txt:4: 'x'"),
    ((3, 1, 2), None, "val/ILSVRC2012_val_00000004.JPEG is no image of"),
    ((3, 1, 2, 4), b"MATLAB 5.0 MAT-file, broken", "meta.mat is not the development kit's"),
])
def test_broken_development_kits(ilsvrc_tree, truth, damage, words):
    write_kit(ilsvrc_tree / "ILSVRC2012_devkit_t12", truth)
    if damage:
        (ilsvrc_tree / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").write_bytes(damage)
    with pytest.raises(ValueError, match=words):
        prepared("ilsvrc-cls", ilsvrc_tree)
    assert not (ilsvrc_tree / "lists").exists()  # found before train is decoded, which takes an hour


def test_ilsvrc_val_alone(ilsvrc_tree, capsys):
    shutil.rmtree(ilsvrc_tree / "train")
    shutil.rmtree(ilsvrc_tree / "test")
    write_kit(ilsvrc_tree / "ILSVRC2012_devkit_t12", (3, 1, 2, 4))
    assert len(rows(prepared("ilsvrc-cls", ilsvrc_tree) / "ilsvrc-cls" / "val.lst")) == 4
    assert "no list of train, test" in capsys.readouterr().out


def test_ilsvrc_val_needs_classes(ilsvrc_tree, capsys):
    with pytest.raises(UsageError, match="--devkit DIR .* or from --val-labels FILE"):
        prepared("ilsvrc-cls", ilsvrc_tree)
    (ilsvrc_tree / "kit").mkdir()
    with pytest.raises(UsageError, match="--devkit .*kit has no data"):
        prepared("ilsvrc-cls", ilsvrc_tree, "--devkit", ilsvrc_tree / "kit")
    assert "meta.mat    <-- missing" in capsys.readouterr().out
    (ilsvrc_tree / "names").write_text("ILSVRC2012_val_00000001.JPEG 3\nILSVRC2012_val_00000002.JPEG 1000\n")
    with pytest.raises(ValueError, match="names:2: .* wanted the name of an image and its class"):
        prepared("ilsvrc-cls", ilsvrc_tree, "--val-labels", ilsvrc_tree / "names")


def test_photographs_prepare_and_train_a_step(data_root, tmp_path, monkeypatch):
    samples = [line.split("\t") for line in (data_root / "ilsvrc_samples" / "index.tsv").read_text().splitlines()
               if not line.startswith("file")]
    samples = samples[:6] + [sample for sample in samples if sample[2] != "RGB"]
    for name, *_ in samples:
        (tmp_path / "train" / name[:9]).mkdir(parents=True)
        (tmp_path / "train" / name[:9] / name).symlink_to(data_root / "ilsvrc_samples" / name)
    shutil.copytree(tmp_path / "train", tmp_path / "val", symlinks=True)
    lists = prepared("ilsvrc-cls", tmp_path) / "ilsvrc-cls"
    assert {os.path.basename(path): class_id for class_id, path in rows(lists / "train.lst")} == {
        name: int(label) for name, label, *_ in samples}
    train(tmp_path, monkeypatch, "ilsvrc-cls_rna-b1-w0.02_cls1000", lists)


@pytest.mark.parametrize("dataset, command", [("cifar10", "cifar10"), ("imagenette128", "folders")])
def test_class_folders_prepare_and_train_a_step(data_root, tmp_path, monkeypatch, capsys, dataset, command):
    for split in ("train", "val"):
        for folder in sorted((data_root / dataset / split).iterdir()):
            (tmp_path / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:2]:
                (tmp_path / split / folder.name / path.name).symlink_to(path)
    options = ("--name", dataset) if command == "folders" else ()
    lists = prepared(command, tmp_path, *options) / dataset
    assert [class_id for class_id, _ in rows(lists / "train.lst")] == [i // 2 for i in range(20)]
    out = capsys.readouterr().out
    assert all(name in out for name in DATASETS[dataset].class_names)
    if command == "folders":
        assert dataset_record(dataset, 10, str(lists / f"{dataset}.yaml")) == DATASETS[dataset]
    train(tmp_path, monkeypatch, f"{dataset}_rna-b1-w0.02_cls10", lists)


def train(root, monkeypatch, label, lists, *options):
    """One epoch of at most a few steps."""
    monkeypatch.chdir(root)
    ilsvrc.main(["--model", label, "--data-root", str(root), "--list", str(lists / "train.lst"), "--crop-size", "32",
                 "--batch-images", "8", "--to-epoch", "1", "--cpus", "1", *options])
    assert (root / "output" / f"{label}_ep-0001.params").is_file()


def write_cifar(root, counts=(3, 2, 4, 1, 2, 5)):
    """The binary version with few images; the labels and pixels of its files."""
    rng, batches = np.random.default_rng(0), []
    for name, count in zip([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"], counts):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        pixels = rng.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
        data = np.concatenate([labels[:, None], pixels.reshape(count, -1)], 1)
        (root / f"{name}.bin").write_bytes(data.tobytes())
        batches.append((labels, pixels))
    (root / "batches.meta.txt").write_text("\n".join(DATASETS["cifar10"].class_names) + "\n\n")
    return batches


def test_cifar10_binary(tmp_path):
    batches = write_cifar(tmp_path)
    (tmp_path / "png" / ".part-val" / "cat").mkdir(parents=True)  # of a run that was killed
    (tmp_path / "png" / ".part-val" / "cat" / "0000.png").write_bytes(b"half")
    lists = prepared("cifar10", tmp_path) / "cifar10"
    train_rows, val_rows = rows(lists / "train.lst"), rows(lists / "val.lst")
    assert [class_id for class_id, _ in train_rows] == np.concatenate([labels for labels, _ in batches[:5]]).tolist()
    for (_, path), pixels in zip(train_rows + val_rows, np.concatenate([pixels for _, pixels in batches])):
        assert np.array_equal(np.asarray(Image.open(tmp_path / path)), pixels.transpose(1, 2, 0))
    assert os.path.basename(val_rows[0][1]) == "0000.png" and len(val_rows) == 5
    assert not list(tmp_path.glob("png/.part*"))

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("png/*/*/*.png")}
    text = (lists / "train.lst").read_text()
    prepared("cifar10", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("png/*/*/*.png")} == before
    assert (lists / "train.lst").read_text() == text


def test_cifar10_that_is_none(tmp_path, capsys):
    with pytest.raises(UsageError, match="has no data_batch_1.bin and 3 more"):
        prepared("cifar10", tmp_path)
    assert "<-- missing" in capsys.readouterr().out
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(UsageError, match="pickles and are not opened"):
        prepared("cifar10", tmp_path)
    write_cifar(tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes(3073 + 5))
    with pytest.raises(ValueError, match="data_batch_3.bin has 3,078 bytes, wanted 3,073 for each image"):
        prepared("cifar10", tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(bytes([0] * 3073 + [10] * 3073))
    with pytest.raises(ValueError, match="data_batch_3.bin: image 1 is of class 10"):
        prepared("cifar10", tmp_path)
    (tmp_path / "batches.meta.txt").write_text("apple\naquarium_fish\n")
    with pytest.raises(ValueError, match="has the classes apple, aquarium_fish"):
        prepared("cifar10", tmp_path)
    assert not (tmp_path / "png").exists() and not (tmp_path / "lists").exists()


@pytest.fixture
def places_tree(tmp_path):
    """The standard files of Places365 with three images a split."""
    train_names = ("/a/airfield/00000001.jpg", "/c/church/indoor/00000002.jpg", "/z/zen_garden/00000001.jpg")
    for place, name in enumerate(train_names):
        image(tmp_path / f"data_256{name}", place)
        image(tmp_path / "val_256" / f"Places365_val_{place + 1:08}.jpg", place)
        image(tmp_path / "test_256" / f"Places365_test_{place + 1:08}.jpg", place)
    (tmp_path / "places365_train_standard.txt").write_text("".join(
        f"{name} {class_id}\n" for name, class_id in zip(train_names, (0, 90, 364))))
    (tmp_path / "places365_val.txt").write_text("".join(
        f"Places365_val_{place:08}.jpg {class_id}\n" for place, class_id in ((3, 8), (1, 364), (2, 0))))
    (tmp_path / "places365_test.txt").write_text("".join(f"Places365_test_{place:08}.jpg\n" for place in (1, 2, 3)))
    return tmp_path


def categories():
    """The text of categories_places365.txt."""
    return "\n".join(f"/{name[0]}/{name} {class_id}"
                     for class_id, name in enumerate(DATASETS["places365"].class_names))


def test_places365_as_it_unpacks(places_tree, capsys):
    (places_tree / "categories_places365.txt").write_text(categories())
    lists = prepared("places365", places_tree) / "places365"
    assert rows(lists / "train.lst") == [(0, "data_256/a/airfield/00000001.jpg"),
                                         (90, "data_256/c/church/indoor/00000002.jpg"),
                                         (364, "data_256/z/zen_garden/00000001.jpg")]
    assert rows(lists / "val.lst")[0] == (8, "val_256/Places365_val_00000003.jpg")
    assert rows(lists / "test.lst")[2] == (-1, "test_256/Places365_test_00000003.jpg")
    assert "odd: the whole places365 train has 1,803,460 images" in capsys.readouterr().out


def test_places365_at_other_sizes_and_in_class_folders(places_tree):
    (places_tree / "data_256").rename(places_tree / "data_large_standard")
    (places_tree / "val_256").rename(places_tree / "val_large")
    assert rows(prepared("places365", places_tree) / "places365" / "train.lst")[0] == (
        0, "data_large_standard/a/airfield/00000001.jpg")
    with pytest.raises(UsageError, match="none of the folders data_256, data_256_standard"):
        prepared("places365", places_tree, "--size", "256")
    for split in ("train", "val"):
        image(places_tree / "easy" / split / "church-indoor" / "00000002.jpg")
        image(places_tree / "easy" / split / "airfield" / "00000001.jpg")
    assert rows(prepared("places365", places_tree / "easy") / "places365" / "train.lst") == [
        (0, "train/airfield/00000001.jpg"), (90, "train/church-indoor/00000002.jpg")]


def test_places365_with_faults(places_tree):
    (places_tree / "categories_places365.txt").write_text(categories().replace("/a/alley 4", "/a/ally 4"))
    with pytest.raises(ValueError, match="categories_places365.txt:5: '/a/ally 4', where Places365 has '/a/alley 4'"):
        prepared("places365", places_tree)
    (places_tree / "categories_places365.txt").unlink()
    (places_tree / "data_256" / "z" / "zen_garden" / "00000001.jpg").unlink()
    with pytest.raises(ValueError, match=r"train_standard.txt:3: .*zen_garden/00000001.jpg"):
        prepared("places365", places_tree, "--no-decode")
    lists = prepared("places365", places_tree, "--skip-broken") / "places365"
    assert len(rows(lists / "train.lst")) == 2 and "zen_garden" in (lists / "train.left-out.txt").read_text()
    (places_tree / "places365_val.txt").write_text("Places365_val_00000001.jpg 365\n")
    with pytest.raises(ValueError, match="places365_val.txt:1: .* its class, in 0 to 364"):
        prepared("places365", places_tree, "--skip-broken")


def test_folders_of_ones_own(tmp_path, capsys, monkeypatch):
    root = tmp_path / "My Pets"
    for place, name in enumerate(("cat/1.jpg", "cat/2.PNG", "dog/1.jpg", "dog/.hidden.jpg", ".ipynb/1.jpg")):
        image(root / "train" / name, place)
    (root / "train" / "dog" / "notes.txt").write_text("")
    image(root / "val" / "dog" / "1.jpg")
    image(root / "test" / "a.jpg")
    lists = prepared("folders", root) / "my-pets"
    assert rows(lists / "train.lst") == [(0, "train/cat/1.jpg"), (0, "train/cat/2.PNG"), (1, "train/dog/1.jpg")]
    assert rows(lists / "val.lst") == [(1, "val/dog/1.jpg")] and rows(lists / "test.lst") == [(-1, "test/a.jpg")]
    out = capsys.readouterr().out
    assert "odd: files that are no images by their names: 1, the first train/dog/notes.txt" in out
    assert "odd: classes that never occur: 1 of 2: cat" in out
    record = dataset_record("my-pets", 2, str(lists / "my-pets.yaml"))
    assert record.class_names == ("cat", "dog")
    for place in range(8):
        image(root / "train" / "cat" / f"more{place}.jpg", place)
    prepared("folders", root)
    train(root, monkeypatch, "my-pets_rna-b1-w0.02_cls2", lists, "--dataset-file", str(lists / "my-pets.yaml"))


def test_one_set_is_divided(tmp_path):
    for name, count in (("cat", 20), ("dog", 10)):
        for place in range(count):
            image(tmp_path / name / f"{place}.png")
    with pytest.raises(UsageError, match="has no folder train: --val-share 0.1"):
        prepared("folders", tmp_path, "--name", "pets")
    lists = prepared("folders", tmp_path, "--name", "pets", "--val-share", "0.2") / "pets"
    parts = [rows(lists / f"{split}.lst") for split in ("train", "val")]
    assert [class_id for class_id, _ in parts[1]] == [0] * 4 + [1] * 2
    assert len(parts[0]) == 24 and not set(parts[0]) & set(parts[1])
    shutil.rmtree(lists)
    prepared("folders", tmp_path, "--name", "pets", "--val-share", "0.2")
    assert [rows(lists / f"{split}.lst") for split in ("train", "val")] == parts


def test_faults_in_folders(tmp_path):
    for split in ("train", "val"):
        image(tmp_path / split / "cat" / "1.png")
    with pytest.raises(UsageError, match="--name 'My_Pets': wanted small letters"):
        prepared("folders", tmp_path, "--name", "My_Pets")
    image(tmp_path / "val" / "horse" / "1.png")
    with pytest.raises(ValueError, match="val has folders that are no class's: horse; wanted such as cat"):
        prepared("folders", tmp_path, "--name", "pets")
    (tmp_path / "val" / "horse" / "1.png").rename(tmp_path / "val" / "1.png")
    (tmp_path / "val" / "horse").rmdir()
    (tmp_path / "train" / "cat" / "2.png").write_bytes(b"")
    with pytest.raises(ValueError, match="train/cat/2.png cannot be decoded: the file is empty"):
        prepared("folders", tmp_path, "--name", "pets")
    lists = prepared("folders", tmp_path, "--name", "pets", "--skip-broken") / "pets"
    assert rows(lists / "train.lst") == [(0, "train/cat/1.png")]
    prepared("folders", tmp_path, "--name", "pets", "--no-decode")
    assert len(rows(lists / "train.lst")) == 2
    image(tmp_path / "train" / "cat" / "a\tb.png")
    with pytest.raises(ValueError, match="rename it"):
        prepared("folders", tmp_path, "--name", "pets")


def test_records_are_those_of_the_datasets():
    assert hashlib.md5(categories().encode()).hexdigest() == "06c963b85866bd0649f97cb43dd16673"  # of the official file
    record = DATASETS["ilsvrc-cls"]
    assert len(record.class_names) == len(set(record.folders)) == 1000
    assert list(record.folders) == sorted(record.folders)
    assert record.splits["train"] == 1281167 and record.splits["val"] == 50000
    with pytest.raises(ValueError, match="dataset places365 has 365 classes, the label says 10"):
        dataset_record("places365", 10)


def test_synset_names_are_the_public_ones(data_root):
    record = DATASETS["ilsvrc-cls"]
    for line, synset, names in zip((data_root / "ilsvrc_samples" / "synset_words.txt").read_text().splitlines(),
                                   record.folders, record.class_names):
        assert line == f"{synset} {names}"


def test_yaml_of_folders_keeps_any_name(tmp_path):
    for name in ("yes", "1", "Ärger: ja"):
        image(tmp_path / "train" / name / "1.png")
    write_png(str(tmp_path / "val" / "1" / "1.png"), np.zeros((4, 4, 3), np.uint8))
    path = prepared("folders", tmp_path, "--name", "odd") / "odd" / "odd.yaml"
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["class_names"] == ["1", "yes", "Ärger: ja"]
