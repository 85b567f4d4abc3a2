"""Trees with a folder for each class: which folders count, how they are numbered, what is wrong with one is named."""
import shutil
import unicodedata

import pytest
from PIL import Image

from ademxapp.data.class_folders import folder_names, scan_tree
from ademxapp.data.lists import Sample
from ademxapp.driver import training
from iclass import ilsvrc
from iclass.datasets import DATASETS, ClassificationDataset, described_record
from tools import predict, prepare


@pytest.fixture
def tree(tmp_path):
    """A function that makes empty files below a root, which it returns."""
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return str(tmp_path)
    return make


def found(root, split, classes, known=()):
    return [(sample.image, sample.class_id) for sample in scan_tree(root, split, classes, known)]


def test_folders_are_numbered_by_name_and_what_systems_leave_is_left_out(tree):
    root = tree("val/n2/b.JPEG", "val/n2/a.jpg", "val/n10/c.png", "val/n10/notes.txt", "val/n10/._c.png",
                "val/.ipynb_checkpoints/x.jpg", "val/readme.jpg", "val/__MACOSX/n2/._a.jpg", "val/@eaDir/a.jpg")
    assert found(root, "val", 2) == [("val/n10/c.png", 0), ("val/n2/a.jpg", 1), ("val/n2/b.JPEG", 1)]
    with pytest.raises(ValueError, match="2 class folders, the label says 3 classes: n10, n2"):
        scan_tree(root, "val", 3)


def test_every_split_is_numbered_as_train_is(tree):
    root = tree("train/a/1.png", "train/b/1.png", "train/c/1.png", "val/b/1.png", "val/c/1.png", "val/a/1.png")
    assert found(root, "val", 3) == [("val/a/1.png", 0), ("val/b/1.png", 1), ("val/c/1.png", 2)]


def test_a_folder_that_only_val_has_is_an_error_and_no_other_number(tree):
    root = tree("train/blue/1.png", "train/green/1.png", "train/red/1.png", "val/Red/1.png", "val/blue/1.png",
                "val/green/1.png")
    with pytest.raises(ValueError, match="val has folders that are no class's: Red; wanted such as red"):
        scan_tree(root, "val", 3)


def test_a_class_that_val_lacks_is_an_error(tree):
    root = tree("train/a/1.png", "train/b/1.png", "val/b/1.png")
    with pytest.raises(ValueError, match="val has no image of 1 of the 2 classes: a; images end in .jpg"):
        scan_tree(root, "val", 2)


@pytest.mark.parametrize("name", ["train/b/1.gif", "train/b/more/1.png"])
def test_a_class_without_an_image_that_counts_is_an_error(tree, name):
    with pytest.raises(ValueError, match="train has no image of 1 of the 2 classes: b; .* lie in the class's folder"):
        scan_tree(tree("train/a/1.png", name), "train", 2)


def test_a_records_folders_have_its_order(tree):
    root = tree(*(f"{split}/{name}/x.png" for split in ("train", "val") for name in ("1", "2", "10")))
    known = ("1", "2", "10")
    assert [class_id for _, class_id in sorted(found(root, "val", 3, known))] == [0, 2, 1]  # 1, 10, 2
    with pytest.raises(ValueError, match="train has folders that are no class's: 10; wanted such as eins"):
        scan_tree(root, "train", 3, ("1", "2", "eins"))


def test_accents_are_the_same_however_they_are_written(tree):
    one, two = unicodedata.normalize("NFC", "Bäume"), unicodedata.normalize("NFD", "Bäume")
    root = tree(f"train/{one}/1.png", "train/Haus/1.png", f"val/{two}/1.png", "val/Haus/1.png")
    assert found(root, "val", 2) == [(f"val/{two}/1.png", 0), ("val/Haus/1.png", 1)]
    with pytest.raises(ValueError, match="no class's"):  # both in one place: which?
        scan_tree(tree(f"val/{one}/1.png"), "val", 2)


def test_without_train_the_own_names_number_and_that_is_told(tree, caplog):
    assert found(tree("val/b/1.png", "val/a/1.png"), "val", 2) == [("val/a/1.png", 0), ("val/b/1.png", 1)]
    assert "its folders number the classes by their own names" in caplog.text and "a, b" in caplog.text


def test_the_driver_numbers_folders_by_the_dataset_file(tree, tmp_path, monkeypatch):
    root = tree(*(f"train/{name}/x.png" for name in ("1", "2", "10")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("class_names: [one, two, ten]\nfolders: ['1', '2', '10']\n")
    seen = []

    def stop(settings, run, workers, symbol, dataset, *more):
        seen.extend(sorted((sample.image, sample.class_id) for sample in dataset.samples))
    monkeypatch.setattr(training, "train", stop)
    ilsvrc.main(["--model", "own_rna-b1-w0.02_cls3", "--to-epoch", "1", "--data-root", root, "--dataset-file",
                 "own.yaml", "--cpus", "1"])
    assert seen == [("train/1/x.png", 0), ("train/10/x.png", 2), ("train/2/x.png", 1)]


def test_prepare_numbers_by_a_dataset_file_and_names_what_it_does_not_look_into(tree, tmp_path, capsys):
    root = tree("train/1/x.png", "train/2/x.png", "train/10/x.png", "train/10/more/x.png", "train/__MACOSX/x.png")
    (tmp_path / "own.yaml").write_text("class_names: [one, two, ten]\nfolders: ['1', '2', '10']\n")
    out = tmp_path / "lists"
    prepare.main(["folders", "--root", root, "--name", "own", "--out", str(out), "--no-decode", "--dataset-file",
                  str(tmp_path / "own.yaml")])
    assert (out / "own" / "train.lst").read_text().splitlines() == [
        "0\t0\ttrain/1/x.png", "1\t2\ttrain/10/x.png", "2\t1\ttrain/2/x.png"]
    assert not (out / "own" / "own.yaml").exists()
    assert "folders below those of classes, not looked into: 1, the first train/10/more" in capsys.readouterr().out


def test_prepare_refuses_the_name_of_another_dataset(tree, tmp_path):
    with pytest.raises(ValueError, match="cifar10 is a built-in dataset with other classes, airplane, .* not cat"):
        prepare.main(["folders", "--root", tree("train/cat/x.png"), "--name", "cifar10", "--out", str(tmp_path / "o")])


def test_church_indoor_is_a_folder_of_places365():
    record = DATASETS["places365"]
    assert record.folders[record.class_names.index("church/indoor")] == "church-indoor"


def test_weights_know_the_names_of_the_folders_that_they_were_trained_on(tmp_path, monkeypatch, capsys):
    for name in ("train/owl/1.png", "train/ant/1.png", "val/owl/1.png", "val/ant/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (len(name), 9, 9)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    label = "zoo_rna-b1-w0.02_cls2"
    ilsvrc.main(["--model", label, "--to-epoch", "1", "--data-root", ".", "--crop-size", "32", "--batch-images", "2",
                 "--cpus", "1"])
    shutil.rmtree(tmp_path / "train")
    weights = ["--weights", f"output/{label}_ep-0001.params", "--cpus", "1"]
    predict.main(["val/owl", *weights])
    assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:3]} == {"owl", "ant"}
    (tmp_path / "val" / "owl").rename(tmp_path / "val" / "Owl")
    with pytest.raises(ValueError, match="val has folders that are no class's: Owl; wanted such as owl"):
        ilsvrc.main(["--phase", "val", "--split", "val", "--data-root", ".", *weights])


def test_folders_of_another_order_stay_known_with_the_weights(tree, tmp_path, monkeypatch):
    root, known = tree("train/1/x.png", "train/2/x.png"), []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("class_names: [a, b]\nfolders: ['2', '1']\n")
    monkeypatch.setattr(training, "train", lambda *given: known.append(given[7]))
    ilsvrc.main(["--model", "own_rna-b1-w0.02_cls2", "--crop-size", "32", "--to-epoch", "1", "--data-root", root,
                 "--dataset-file", "own.yaml", "--cpus", "1"])
    assert described_record(known[0]) == ClassificationDataset("own", ("a", "b"), ("2", "1"))


def test_only_folders_that_tell_classes_apart_name_them():
    def samples(*pairs):
        return [Sample("", image, class_id) for image, class_id in pairs]

    assert folder_names(samples(("x/a/1", 0), ("x/b/1", 1), ("y/a/2", 0)), 2) == ("a", "b")
    assert folder_names(samples(("x/1", 0), ("x/2", 1)), 2) == ()
    assert folder_names(samples(("x/a/1", 0), ("x/b/1", 0), ("x/c/1", 1)), 2) == ()
    assert folder_names(samples(("x/a/1", 0)), 2) == ()
