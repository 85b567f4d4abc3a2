"""tools/prepare.py on datasets of segmentation: real samples, and trees written here in their documented formats."""
import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ademxapp import files, processes
from ademxapp.cli import UsageError
from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.images import write_png
from issegm import voc
from tools import prepare
from tools.preparing import common

SETS = "VOC2012/ImageSets/Segmentation"


def write_image(path, height=24, width=32):
    """A small image of any extension."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def touch(path, text=""):
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stripes(*values, height=24, width=32):
    """A label map with equal stripes of values."""
    return np.repeat(np.repeat(np.array([values], np.uint8), height, 0), width // len(values), 1)


def run(dataset, root, out, *options, command=None):
    """Prepare a dataset; its lists, {split: lines}."""
    prepare.main([command or dataset, "--root", str(root), "--out", str(out), "--workers", "1", *map(str, options)])
    return {path.stem: path.read_text().splitlines() for path in (out / dataset).glob("*.lst")}


def names(lines):
    """The names of a list's images, without folder and extension."""
    return [os.path.splitext(os.path.basename(line.split("\t")[0]))[0] for line in lines]


def write_voc(root, train=("a", "b"), val=("c",), others=("d", "e"), test=()):
    """VOC 2012 with 32x24 images; the train images are half background, half aeroplane."""
    for name in (*train, *val, *others, *test):
        write_image(f"{root}/VOC2012/JPEGImages/{name}.jpg")
    for name in (*train, *val):
        write_png(f"{root}/VOC2012/SegmentationClass/{name}.png", stripes(0, 1), voc_palette())
    for split, members in (("train", train), ("val", val), ("trainval", (*train, *val)), ("test", test)):
        if members:
            touch(root / SETS / f"{split}.txt", "".join(f"{name}\n" for name in members))


def write_sbd(folder, train=("b", "c", "d"), val=("e",)):
    """SBD's folder `dataset`; every label has the values 0, 2, 20, 255."""
    for split, members in (("train", train), ("val", val)):
        touch(folder / f"{split}.txt", "".join(f"{name}\n" for name in members))
    (folder / "cls").mkdir()
    for name in (*train, *val):
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": {
            "Boundaries": np.zeros((20, 1), object), "Segmentation": stripes(0, 2, 20, 255),
            "CategoriesPresent": np.array([[2], [20]], np.uint8)}})


def square(left, top, side):
    """An outline as COCO has them: a list of polygons."""
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


def write_coco(root, split="train", first=1):
    """COCO with four images: a dog before a person; an elephant; only a crowd of persons; nothing."""
    images = [{"id": first + i, "file_name": f"{first + i:012}.jpg", "height": 24, "width": 32} for i in range(4)]
    for image in images:
        write_image(f"{root}/{split}2017/{image['file_name']}")
    crowd = {"size": [24, 32], "counts": [24 * 28, 24 * 4]}  # the last four columns
    found = [(first, 18, 0, square(4, 4, 8)), (first, 1, 0, square(0, 0, 20)), (first, 1, 1, crowd),
             (first + 1, 22, 0, square(0, 0, 10)), (first + 2, 1, 1, crowd)]
    annotations = [{"id": i, "image_id": image, "category_id": category, "iscrowd": is_crowd, "segmentation": outline,
                    "area": 96 if is_crowd else (outline[0][2] - outline[0][0]) ** 2, "bbox": [0, 0, 1, 1]}
                   for i, (image, category, is_crowd, outline) in enumerate(found, 1)]
    touch(root / "annotations" / f"instances_{split}2017.json", json.dumps(
        {"images": images[::-1], "annotations": annotations, "categories": []}))


def write_context(root):
    """PASCAL-Context: its labels have aeroplane (2), accordion (1, no class), wood (458), and 0."""
    for split, name in (("train", "2008_000001"), ("val", "2008_000002")):
        touch(root / "VOC2010/ImageSets/Main" / f"{split}.txt", f"{name}\n")
        write_image(f"{root}/VOC2010/JPEGImages/{name}.jpg")
        label = stripes(2, 1, 4, 0).astype(np.uint16)
        label[label == 4] = 458
        (root / "trainval").mkdir(exist_ok=True)
        savemat(root / "trainval" / f"{name}.mat", {"LabelMap": label})


def write_own(root):
    """Two pairs of one's own, and their description."""
    for i in range(2):
        write_image(f"{root}/images/train/{i}.png")
        write_png(f"{root}/labels/train/{i}.png", stripes(1, 3))
    touch(root / "garden.yaml", "class_names: [grass, path]\nlabel_ids: [1, 3]\nignored_ids: [0]\nlargest_side: 32\n")


def city_files(city, frame, split="train", labels="gtFine"):
    """Paths of an image of Cityscapes and its label."""
    stem = f"{split}/{city}/{city}_{frame:06}_000019"
    return f"leftImg8bit/{stem}_leftImg8bit.png", f"{labels}/{stem}_{labels}_labelIds.png"


# The rules of the sets


def test_train_plus_is_voc_train_and_sbd_without_voc_val(tmp_path, capsys):
    write_voc(tmp_path / "voc", test=("f",))
    write_sbd(tmp_path / "benchmark_RELEASE")
    (tmp_path / "benchmark_RELEASE").rename(tmp_path / "dataset")
    (tmp_path / "sbd" / "benchmark_RELEASE").mkdir(parents=True)
    (tmp_path / "dataset").rename(tmp_path / "sbd" / "benchmark_RELEASE" / "dataset")
    lists = run("voc", tmp_path / "voc", tmp_path / "lists", "--sbd", tmp_path / "sbd")
    assert {name: names(lines) for name, lines in lists.items()} == {
        "train": ["a", "b"], "val": ["c"], "trainval": ["a", "b", "c"], "test": ["f"], "train+": ["a", "b", "d", "e"]}
    assert lists["test"] == ["VOC2012/JPEGImages/f.jpg"]
    assert [line.split("\t")[1] for line in lists["train+"]] == [
        *(f"VOC2012/SegmentationClass/{name}.png" for name in "ab"),
        *(f"VOC2012/SegmentationClassAug/{name}.png" for name in "de")]
    made = Image.open(tmp_path / "voc" / "VOC2012/SegmentationClassAug/d.png")
    assert made.mode == "P" and made.getpalette()[:768] == voc_palette().reshape(-1).tolist()
    np.testing.assert_array_equal(np.asarray(made), stripes(0, 2, 20, 255))
    assert "odd: the whole voc train+ has 10,582 images" in capsys.readouterr().out


def test_labels_are_made_once_and_train_plus_comes_from_images_too(tmp_path):
    write_voc(tmp_path)
    write_sbd(tmp_path / "sbd")
    first = run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd")
    made = tmp_path / "VOC2012/SegmentationClassAug"
    write_png(str(made / "d.png"), stripes(3), voc_palette())  # a user's own label stays
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.iterdir()}
    assert run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd") == first
    image = tmp_path / "VOC2012/JPEGImages/d.jpg"
    (tmp_path / "sbd/img").mkdir()
    image.rename(tmp_path / "sbd/img/d.jpg")  # SBD has copies
    assert run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd")["train+"] == [
        line.replace("VOC2012/JPEGImages/d", "sbd/img/d") for line in first["train+"]]
    (tmp_path / "sbd/img/d.jpg").rename(image)
    shutil.rmtree(tmp_path / "sbd")
    assert run("voc", tmp_path, tmp_path / "others") == first
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.iterdir()} == before


def test_train_plus_plus_has_coco_images_with_voc_classes(tmp_path, capsys):
    pytest.importorskip("pycocotools")
    write_voc(tmp_path / "voc")
    write_sbd(tmp_path / "sbd")
    write_coco(tmp_path / "coco2017")
    write_coco(tmp_path / "coco2017", "val", first=5)
    lists = run("voc", tmp_path / "voc", tmp_path / "lists", "--sbd", tmp_path / "sbd", "--coco", tmp_path / "coco2017")
    assert lists["train++"][:4] == lists["train+"]
    assert lists["train++"][4:] == [
        f"COCO/{split}2017/{number:012}.jpg\tVOC2012/SegmentationClassCOCO/{number:012}.png"
        for split, number in (("train", 1), ("val", 5))]
    assert (tmp_path / "voc" / "COCO").samefile(tmp_path / "coco2017") and "is now a link to" in capsys.readouterr().out
    label = np.asarray(Image.open(tmp_path / "voc/VOC2012/SegmentationClassCOCO/000000000001.png"))
    assert (label[1, 1], label[8, 8], label[22, 10], label[10, 30]) == (15, 12, 0, 255)  # person, dog, nothing, crowd
    (tmp_path / "voc" / "COCO").unlink()
    (tmp_path / "voc" / "COCO").mkdir()
    with pytest.raises(UsageError, match="COCO is something else"):
        run("voc", tmp_path / "voc", tmp_path / "lists", "--coco", tmp_path / "coco2017")


def test_what_is_in_front_of_vocs_classes_is_background(tmp_path):
    """As `prepare.py coco` labels it, with other classes as 0: not with the class behind."""
    pytest.importorskip("pycocotools")
    write_voc(tmp_path / "voc")
    write_sbd(tmp_path / "sbd")
    write_coco(tmp_path / "coco2017")
    path = tmp_path / "coco2017/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 32, "iscrowd": 0, "area": 16,  # a tie
                                   "segmentation": square(13, 13, 4), "bbox": [0, 0, 1, 1]})
    path.write_text(json.dumps(content))
    run("voc", tmp_path / "voc", tmp_path / "lists", "--sbd", tmp_path / "sbd", "--coco", tmp_path / "coco2017")
    run("coco", tmp_path / "coco2017", tmp_path / "lists")
    label, whole = (np.asarray(Image.open(tmp_path / name)) for name in (
        "voc/VOC2012/SegmentationClassCOCO/000000000001.png", "coco2017/semantic/train2017/000000000001.png"))
    assert (label[14, 14], label[18, 18], label[10, 10]) == (0, 15, 12) and whole[14, 14] == 32
    np.testing.assert_array_equal(label, np.select([whole == 1, whole == 18, whole == 255], [15, 12, 255], 0))


@pytest.mark.parametrize("change, words", [
    ({"categories": [{"id": 1, "name": "cat"}]}, "category 1 is 'cat', COCO's is 'person': this is another dataset"),
    ({"categories": [{"id": 91, "name": "hat"}]}, "category 91 is 'hat', COCO's is 'none'"),
    ({"annotations": [{"category_id": 12}]}, "category 12 is none of COCO's")])
def test_categories_of_another_dataset_are_refused(tmp_path, change, words):
    pytest.importorskip("pycocotools")
    write_coco(tmp_path)
    path = tmp_path / "annotations/instances_train2017.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=words):
        run("coco", tmp_path, tmp_path / "lists")


def test_coco_with_all_its_classes(tmp_path):
    pytest.importorskip("pycocotools")
    write_coco(tmp_path)
    lists = run("coco", tmp_path, tmp_path / "lists")
    assert lists == {"train": [f"train2017/{i:012}.jpg\tsemantic/train2017/{i:012}.png" for i in range(1, 5)]}
    labels = [np.asarray(Image.open(tmp_path / line.split("\t")[1])) for line in lists["train"]]
    assert (labels[0][1, 1], labels[0][8, 8], labels[0][10, 30]) == (1, 18, 255)
    assert set(np.unique(labels[1])) == {0, 22} and not labels[3].any()
    np.testing.assert_array_equal(labels[2] == 255, np.arange(32) >= 28 + np.zeros((24, 1)))


def test_coco_sample_against_its_own_masks(data_root, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    for name in ("train2017", "annotations"):
        (tmp_path / name).symlink_to(data_root / "coco_instances" / name)
    lists = run("coco", tmp_path, tmp_path / "lists")
    assert len(lists["train"]) == 30
    annotations = coco.COCO(str(tmp_path / "annotations" / "instances_train2017.json"))
    for line in lists["train"][::3]:
        number = int(os.path.splitext(os.path.basename(line.split("\t")[0]))[0])
        label, found = np.asarray(Image.open(tmp_path / line.split("\t")[1])), annotations.imgToAnns[number]
        masks = [(annotation, annotations.annToMask(annotation) > 0) for annotation in found]
        covered = np.any([mask for _, mask in masks] or [np.zeros(label.shape, bool)], 0)
        np.testing.assert_array_equal(label > 0, covered)
        for annotation, mask in masks:  # where only one instance is, the label is its category
            alone = mask & (np.sum([other for _, other in masks], 0) == 1)
            assert (label[alone] == (255 if annotation["iscrowd"] else annotation["category_id"])).all()


def test_a_root_that_no_label_can_be_called_by(tmp_path, capsys):
    root = tmp_path / "My_Garden"
    write_own(root)
    file = ["--dataset-file", str(root / "garden.yaml")]
    prepare.main(["own", "--root", str(root), "--out", str(tmp_path / "lists"), *file])
    assert "my-garden" in capsys.readouterr().out and (tmp_path / "lists" / "my-garden" / "train.lst").is_file()
    prepare.main(["own", "--root", str(root), "--out", str(tmp_path / "lists"), *file, "--name", "beds"])
    assert (tmp_path / "lists" / "beds" / "train.lst").is_file()
    with pytest.raises(UsageError, match="--name 'My Beds': wanted small letters, digits and '-'"):
        prepare.main(["own", "--root", str(root), "--out", str(tmp_path / "lists"), *file, "--name", "My Beds"])


def test_images_and_labels_of_ones_own(tmp_path, capsys):
    write_own(tmp_path / "garden")
    write_image(f"{tmp_path}/garden/images/test/t.jpg")
    touch(tmp_path / "garden/images/train/._0.png")  # as macOS leaves them
    touch(tmp_path / "garden/images/train/notes.txt")
    write_png(f"{tmp_path}/garden/labels/train/7.png", stripes(1, 3))
    lists = run("garden", tmp_path / "garden", tmp_path / "lists", "--dataset-file", tmp_path / "garden/garden.yaml",
                command="own")
    assert lists == {"train": [f"images/train/{i}.png\tlabels/train/{i}.png" for i in range(2)],
                     "test": ["images/test/t.jpg"]}
    out = capsys.readouterr().out
    assert "odd: files that are no images by their names: 1, the first notes.txt" in out
    assert "odd: labels that have no image: 1, the first labels/train/7.png" in out
    assert [line.split() for line in out.splitlines() if "path" in line] == [["path", "2", "768", "50.00", "%"]]


def test_pascal_context_labels(tmp_path):
    write_context(tmp_path)
    lists = run("pascal-context", tmp_path, tmp_path / "lists")
    assert lists["val"] == ["VOC2010/JPEGImages/2008_000002.jpg\tVOC2010/SegmentationClassContext/2008_000002.png"]
    made = np.asarray(Image.open(tmp_path / lists["train"][0].split("\t")[1]))
    np.testing.assert_array_equal(made, stripes(1, 0, 59, 0))  # aeroplane is the first class, wood the last
    shutil.rmtree(tmp_path / "trainval")
    assert run("pascal-context", tmp_path, tmp_path / "lists") == lists  # the images are enough


def test_coarse_labels_of_cityscapes(tmp_path, capsys):
    pairs = {"train": [city_files("aachen", 1), city_files("ulm", 0)], "val": [city_files("lindau", 0, "val")],
             "train_extra": [city_files("bamberg", 7, "train_extra", "gtCoarse")]}
    for image, label in sum(pairs.values(), []):
        write_image(f"{tmp_path}/{image}")
        write_png(f"{tmp_path}/{label}", stripes(0, 7, 33, 24))
    test, _ = city_files("berlin", 0, "test")
    write_image(f"{tmp_path}/{test}")
    lists = run("cityscapes", tmp_path, tmp_path / "lists", "--coarse")
    assert lists == {**{name: ["\t".join(pair) for pair in pairs[name]] for name in ("train", "val")}, "test": [test],
                     "train+": ["\t".join(pair) for pair in pairs["train"] + pairs["train_extra"]]}
    assert "(not counted)        3" in capsys.readouterr().out  # the value 0, in all three labels of train+
    shutil.rmtree(tmp_path / "gtCoarse")
    with pytest.raises(UsageError, match=r"has no gtCoarse/: wanted the tree that is printed"):
        run("cityscapes", tmp_path, tmp_path / "lists", "--coarse")
    assert "gtCoarse/            [--coarse]    <-- missing" in capsys.readouterr().out


def test_sizes_of_the_whole_cityscapes(tmp_path, capsys):
    """Complete by name: 17 x 175, 5 x 100 and 22 x 909 images; the cities of a split are links to one folder."""
    for split, labels, cities, count in (("train", "gtFine", 17, 175), ("val", "gtFine", 5, 100),
                                         ("train_extra", "gtCoarse", 22, 909)):
        for frame in range(count):
            for name in city_files("city", frame, split, labels):
                touch(tmp_path / name)
        for folder in (tmp_path / "leftImg8bit" / split, tmp_path / labels / split):
            for city in range(cities - 1):
                (folder / f"city{city}").symlink_to(folder / "city")
    lists = run("cityscapes", tmp_path, tmp_path / "lists", "--coarse", "--no-decode")
    assert {name: len(set(lines)) for name, lines in lists.items()} == {"train": 2975, "val": 500, "train+": 22973}
    assert "odd" not in capsys.readouterr().out


def test_sizes_of_the_whole_ade20k(tmp_path, capsys):
    base = tmp_path / "ADEChallengeData2016"
    for folder, prefix, count in (("training", "train", 20210), ("validation", "val", 2000)):
        for kind in ("images", "annotations"):
            (base / kind / folder).mkdir(parents=True)
        for i in range(1, count + 1):
            os.mknod(f"{base}/images/{folder}/ADE_{prefix}_{i:08}.jpg")
            os.mknod(f"{base}/annotations/{folder}/ADE_{prefix}_{i:08}.png")
    lists = run("ade20k", tmp_path, tmp_path / "lists", "--no-decode")
    assert {name: len(set(lines)) for name, lines in lists.items()} == {"train": 20210, "val": 2000}
    assert "odd" not in capsys.readouterr().out


# The samples


def test_ade20k_sample(data_root, tmp_path, capsys):
    lists = run("ade20k", data_root / "ade20k", tmp_path)
    assert [names(lists[split]) for split in ("train", "val")] == [["ADE_train_00000001"], ["ADE_val_00000001"]]
    out = capsys.readouterr().out
    assert "all images have 683x512 pixels" in out and "odd: the whole ade20k val has 2,000 images" in out


def test_other_classes_of_ade20k_are_refused(data_root, tmp_path):
    shutil.copytree(data_root / "ade20k", tmp_path / "ade")
    path = tmp_path / "ade/ADEChallengeData2016/objectInfo150.txt"
    path.write_text(path.read_text().replace("building, edifice", "sky").replace("\tsky\n", "\thouse\n", 1))
    with pytest.raises(ValueError, match="objectInfo150.txt:3: class 2 is 'house', that of the 150 classes is 'build"):
        run("ade20k", tmp_path / "ade", tmp_path / "lists")


def test_cityscapes_sample(data_root, tmp_path, capsys):
    lists = run("cityscapes", data_root / "cityscapes", tmp_path)
    assert [len(lines) for lines in lists.values()] == [4]
    out = capsys.readouterr().out
    labels = [np.asarray(Image.open(data_root / "cityscapes" / line.split("\t")[1])) for line in lists["train"]]
    road = next(line for line in out.splitlines() if "road" in line)
    assert f"{sum((label == 7).sum() for label in labels):,}" in road.split()
    assert "classes never occur: truck, bus, train, motorcycle" in out and "no list of val, test, train+" in out


# What may be wrong


def broken_file(root):
    path = root / "VOC2012/JPEGImages/b.jpg"
    path.write_bytes(path.read_bytes()[:300])


def empty_file(root):
    (root / "VOC2012/JPEGImages/b.jpg").write_bytes(b"")


def missing_label(root):
    (root / "VOC2012/SegmentationClass/b.png").unlink()


def other_size(root):
    write_png(str(root / "VOC2012/SegmentationClass/b.png"), stripes(0, 1, width=30), voc_palette())


def colours(root):
    Image.open(root / "VOC2012/SegmentationClass/b.png").convert("RGB").save(root / "VOC2012/SegmentationClass/b.png")


def strange_value(root):
    write_png(str(root / "VOC2012/SegmentationClass/b.png"), stripes(0, 77))


WRONG = {broken_file: "JPEGImages/b.jpg cannot be decoded", empty_file: "b.jpg cannot be decoded: the file is empty",
         missing_label: "SegmentationClass/b.png is missing", other_size: "b.png has 30x24 pixels, its image 32x24",
         colours: "b.png is no label map: it has RGB pixels",
         strange_value: "b.png has label 77, which is no class of voc"}


@pytest.mark.parametrize("damage", WRONG)
def test_what_is_broken_is_named_and_left_out_if_asked(tmp_path, capsys, damage):
    write_voc(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError) as error:
        run("voc", tmp_path, tmp_path / "lists")
    message, where = str(error.value), f"{tmp_path / SETS / 'train.txt'}:2: "
    assert message.startswith(where) and WRONG[damage] in message
    assert "--skip-broken" in message and "\n" not in message
    assert not (tmp_path / "lists").exists()
    (tmp_path / SETS / "trainval.txt").unlink()
    lists = run("voc", tmp_path, tmp_path / "lists", "--skip-broken")
    assert names(lists["train"]) == ["a"] and names(lists["val"]) == ["c"]
    left_out = (tmp_path / "lists/voc/train.left-out.txt").read_text()
    assert left_out.count("\n") == 1 and f"b.jpg\t{where}" in left_out
    assert "train.left-out.txt: 1 images left out" in capsys.readouterr().out


def test_left_out_files_go_when_all_is_whole_again(tmp_path):
    write_voc(tmp_path)
    image = tmp_path / "VOC2012/JPEGImages/b.jpg"
    whole = image.read_bytes()
    image.unlink()
    run("voc", tmp_path, tmp_path / "lists", "--skip-broken", "--no-decode")
    assert (tmp_path / "lists/voc/train.left-out.txt").exists()
    image.write_bytes(whole)
    run("voc", tmp_path, tmp_path / "lists", "--skip-broken", "--no-decode")
    assert not (tmp_path / "lists/voc/train.left-out.txt").exists()
    shutil.rmtree(tmp_path / "VOC2012/JPEGImages")
    write_image(f"{tmp_path}/VOC2012/JPEGImages/other.jpg")
    with pytest.raises(ValueError, match="all 2 images of voc train are broken, the first: .*train.txt:1: .*a.jpg"):
        run("voc", tmp_path, tmp_path / "lists", "--skip-broken")


@pytest.mark.parametrize("content, words", [
    (b"no matrix", "d.mat has no GTcls.Segmentation"), ({"other": np.zeros((2, 2))}, "has no GTcls.Segmentation"),
    ({"GTcls": {"Segmentation": np.zeros((2, 2, 2))}}, "is no label map: wanted a matrix of numbers, got 3 dimensions"),
    ({"GTcls": {"Segmentation": stripes(0, 30)}}, "d.mat has label 30, which is no class of voc"),
    (None, "d.mat: No such file")])
def test_broken_matrices_are_named(tmp_path, content, words):
    write_voc(tmp_path)
    write_sbd(tmp_path / "sbd")
    path = tmp_path / "sbd/cls/d.mat"
    if isinstance(content, dict):
        savemat(path, content)
    elif content is not None:
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(ValueError) as error:
        run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd")
    assert f"{tmp_path}/sbd/train.txt:3: {tmp_path}/sbd/cls/" in str(error.value) and words in str(error.value)
    lists = run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd", "--skip-broken")
    assert names(lists["train+"]) == ["a", "b", "e"]


def test_a_full_disk_ends_it_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    write_voc(tmp_path)
    write_sbd(tmp_path / "sbd")

    def full(source, target):
        if target.endswith("SegmentationClassAug/e.png"):
            raise OSError(errno.ENOSPC, "No space left on device", target)
        os.rename(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd", "--skip-broken")
    assert [path.name for path in (tmp_path / "VOC2012/SegmentationClassAug").iterdir()] == ["d.png"]
    assert not (tmp_path / "lists/voc/train+.lst").exists()
    monkeypatch.undo()
    lists = run("voc", tmp_path, tmp_path / "lists", "--sbd", tmp_path / "sbd")
    assert names(lists["train+"]) == ["a", "b", "d", "e"]


def test_a_wrong_annotation_file_is_named(tmp_path):
    pytest.importorskip("pycocotools")
    write_coco(tmp_path)
    for text in ("{", '{"images": []}', '{"images": [], "annotations": []}'):
        touch(tmp_path / "annotations/instances_train2017.json", text)
        with pytest.raises(ValueError, match="instances_train2017.json"):
            run("coco", tmp_path, tmp_path / "lists")


def test_lines_of_camvid_are_checked(tmp_path):
    write_image(f"{tmp_path}/a.png")
    for line, words in (("a.png", "val.txt:1: wanted an image and a label"), ("a.png ../b.png", "leaves --root"),
                        ("/a.png a.png", "val.txt:1: the path '/a.png' leaves --root")):
        touch(tmp_path / "train.txt", line + "\n")
        touch(tmp_path / "val.txt", line + "\n")
        with pytest.raises(ValueError) as error:
            run("camvid", tmp_path, tmp_path / "lists")
        assert words.replace("val.txt", "train.txt") in str(error.value)


# The tree, and the processes


def test_every_preparer_draws_its_tree():
    for name, module in prepare.PREPARERS.items():
        drawn = common.drawings(module.__doc__)
        assert name == "demo" or len(drawn["root"]) > 1, name
        assert all(len(line) <= 120 for line in module.__doc__.splitlines())


@pytest.mark.parametrize("there, flags, missing", [
    ((), {}, ["", "a.txt", "b/*.png"]), (("a.txt", "b/x.png"), {}, []),
    (("a.txt", "b/x.png"), {"deep": True}, ["deep/", "deep/*/c"]),
    (("a.txt", "other", "deep/x/c"), {"deep": True}, []), (("a.txt", "another", "if"), {}, ["needed"])])
def test_conditions_of_the_tree(tmp_path, capsys, there, flags, missing):
    drawing = ("Something.\n\n    <root>/\n      a.txt          a note\n      b/*.png    [unless other or another]\n"
               "      needed         [with if]\n      deep/          [--deep] a note\n        <x>/c\n"
               "      c              [optional]\n\nMore.\n")
    for name in there:
        touch(tmp_path / "data" / name)
    args = type("Args", (), {"root": str(tmp_path / "data"), "deep": False, **flags})
    if not missing:
        common.require_tree(drawing, args)
        return
    with pytest.raises(UsageError) as error:
        common.require_tree(drawing, args)
    assert str(error.value).startswith(f"--root {tmp_path}/data has no {[name for name in missing if name][0]}")
    marked = [line for line in capsys.readouterr().out.splitlines() if line.endswith("<-- missing")]
    assert len(marked) == len(missing)


def test_processes_change_nothing(tmp_path, monkeypatch, capsys):
    write_voc(tmp_path)
    write_sbd(tmp_path / "sbd")
    outputs = []
    for out, count in (("lists", 1), ("lists", 2)):
        shutil.rmtree(tmp_path / "VOC2012/SegmentationClassAug", ignore_errors=True)
        monkeypatch.setattr(processes, "WORTH_IT", 1)
        lists = run("voc", tmp_path, tmp_path / out, "--sbd", tmp_path / "sbd", "--workers", count)
        outputs.append((lists, capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    broken_file(tmp_path)
    with pytest.raises(ValueError, match="train.txt:2: .*b.jpg cannot be decoded"):
        run("voc", tmp_path, tmp_path / "lists", "--workers", "2")


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    write_context(tmp_path)
    monkeypatch.setattr(common.os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="SegmentationClassContext cannot be written: labels are converted"):
        run("pascal-context", tmp_path, tmp_path / "lists")


# From the download to a step of training


def sample_of(*folders):
    """A function that links a sample's folders into a root."""
    def link(root, data_root):
        for folder in folders:
            name = os.path.basename(folder)
            (root / name).symlink_to(data_root / folder)
    return link


TRAINED = {
    "voc": (21, sample_of("voc12_subset/VOC2012"), "train+"),
    "cityscapes": (19, sample_of("cityscapes/leftImg8bit", "cityscapes/gtFine"), "train"),
    "ade20k": (150, sample_of("ade20k/ADEChallengeData2016"), "train"),
    "coco": (81, sample_of("coco_instances/train2017", "coco_instances/annotations"), "train"),
    "camvid": (11, sample_of(*(f"camvid/{name}" for name in (
        "train", "val", "trainannot", "valannot", "train.txt", "val.txt"))), "val"),
    "pascal-context": (60, lambda root, data_root: write_context(root), "train"),
    "own": (2, lambda root, data_root: write_own(root), "train"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_training_follows(data_root, tmp_path, monkeypatch, name):
    if name == "coco":
        pytest.importorskip("pycocotools")
    classes, write, split = TRAINED[name]
    root = tmp_path / "garden"
    root.mkdir()
    write(root, data_root)
    file = ["--dataset-file", root / "garden.yaml"] if name == "own" else []
    whole = ["--no-decode"] if name in ("voc", "camvid") else []  # many images; others test their decoding
    monkeypatch.chdir(tmp_path)
    prepare.main([name, "--root", "garden", *map(str, file), *whole])
    dataset = "garden" if name == "own" else name
    path = tmp_path / "data" / dataset / f"{split}.lst"
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[-1:]) * 2)
    voc.main(["--model", f"{dataset}_rna-b1-w0.02_cls{classes}_s8", "--data-root", "garden", "--split", split,
              "--to-epoch", "1", "--batch-images", "2", "--crop-size", "32", "--origin-size", "64", "--cpus", "1",
              *map(str, file)])
    assert list((tmp_path / "output").glob(f"{dataset}_*_ep-0001.params"))
