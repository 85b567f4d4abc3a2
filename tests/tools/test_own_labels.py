"""`prepare.py own`: what images and labels of one's own say of themselves is told, or refused, and never ignored."""
import unicodedata

import numpy as np
import pytest
from PIL import Image

from ademxapp.data.lists import Sample
from issegm.datasets import SegmentationDataset, read_pair
from tools import prepare

GARDEN = "class_names: [grass, path]\n"


@pytest.fixture
def garden(tmp_path):
    """A function that writes a pair: the pixels (H, W) of a label, and the orientation that its image notes."""
    def make(name="a", label=None, orientation=1, size=(30, 20), extension="jpg"):
        for kind in ("images", "labels"):
            (tmp_path / "garden" / kind / "train").mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "garden" / "images" / "train" / f"{name}.{extension}", exif=exif)
        if label is None:
            label = np.arange(size[0] * size[1]).reshape(size[::-1]) % 2
        if not isinstance(label, Image.Image):
            label = Image.fromarray(np.asarray(label, np.uint8))
        label.save(tmp_path / "garden" / "labels" / "train" / f"{name}.png")
        return tmp_path / "garden"
    return make


def prepared(root, text=GARDEN, *options):
    (root.parent / "garden.yaml").write_text(text)
    prepare.main(["own", "--root", str(root), "--dataset-file", str(root.parent / "garden.yaml"), "--out",
                  str(root.parent / "lists"), *options])
    return (root.parent / "lists" / "garden" / "train.lst").read_text().splitlines()


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_label_that_fits_the_turned_image_only_says_so(garden, orientation):
    root = garden(label=np.zeros((30, 20)), orientation=orientation)
    words = f"a.png has 20x30 pixels, its image 30x20: the label fits it .* EXIF orientation {orientation}, but pixels"
    with pytest.raises(ValueError, match=words):
        prepared(root)
    with pytest.raises(ValueError, match=words):
        read_pair(Sample(str(root), "images/train/a.jpg", label_image="labels/train/a.png"),
                  SegmentationDataset("garden", ("grass", "path")))


def test_a_label_of_another_size_says_nothing_of_orientations(garden):
    with pytest.raises(ValueError, match="a.png has 21x30 pixels, its image 30x20; --skip-broken"):
        prepared(garden(label=np.zeros((30, 21)), orientation=6))


def test_an_image_upside_down_is_told(garden, capsys):
    garden("a")
    prepared(garden("b", orientation=3))
    assert ("odd: 1 images are shown turned by their EXIF orientation, but training and tests take pixels as they are "
            "stored: look whether the labels lie so, too; the first images/train/b.jpg, 3") in capsys.readouterr().out


def test_class_folders_tell_of_turned_images_too(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train" / "cat").mkdir(parents=True)
    Image.new("RGB", (20, 10)).save(tmp_path / "train" / "cat" / "1.jpg", exif=exif)
    prepare.main(["folders", "--root", str(tmp_path), "--name", "pets", "--out", str(tmp_path / "lists")])
    assert "take pixels as they are stored; the first train/cat/1.jpg, 6" in capsys.readouterr().out


def test_of_two_labels_of_one_name_the_other_is_told(garden, capsys):
    root = garden("a")
    Image.open(root / "labels" / "train" / "a.png").save(root / "labels" / "train" / "a.tif")
    assert prepared(root) == ["images/train/a.jpg\tlabels/train/a.png"]
    assert "labels of the same name as another, left out: 1, the first labels/train/a.tif" in capsys.readouterr().out


def test_images_that_two_splits_share_are_told(tmp_path, capsys):
    for place, grey in (("train/cat/1.png", 0), ("train/cat/2.png", 9), ("val/cat/1.png", 9), ("val/cat/3.png", 4)):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 10), grey).save(path)
    prepare.main(["folders", "--root", str(tmp_path), "--name", "pets", "--out", str(tmp_path / "lists")])
    told = capsys.readouterr().out
    assert "odd: 1 images are in several splits, whose scores then say nothing of new ones; the first " in told
    assert f"{tmp_path}/train/cat/2.png, {tmp_path}/val/cat/1.png" in told


COLOURS = GARDEN + "colours: [[0, 200, 0], [90, 90, 90]]\n"


def coloured(values, colours=((0, 200, 0), (90, 90, 90))):
    return Image.fromarray(np.array(colours, np.uint8)[values])


def values_of(root, line):
    return np.asarray(Image.open(root / line.split("\t")[1]))


def test_labels_in_colours_are_converted_exactly_and_always_anew(garden, capsys):
    values = np.arange(600).reshape(20, 30) % 2
    root = garden("a", coloured(values))
    garden("b")
    lines = prepared(root, COLOURS)
    assert [line.split("\t")[1] for line in lines] == ["labels-by-colours/train/a.png", "labels/train/b.png"]
    np.testing.assert_array_equal(values_of(root, lines[0]), values)
    assert "labels in colours, made indices in labels-by-colours/train: 1" in capsys.readouterr().out
    garden("a", coloured(1 - values))
    np.testing.assert_array_equal(values_of(root, prepared(root, COLOURS)[0]), 1 - values)
    ids = GARDEN + "label_ids: [3, 1]\nignored_ids: [0]\ncolours: [[0, 0, 0], [90, 90, 90], [1, 1, 1], [0, 200, 0]]\n"
    np.testing.assert_array_equal(values_of(root, prepared(root, ids)[0]), np.where(values, 3, 1))


@pytest.mark.parametrize("colour, words", [
    ((90, 90, 91), r"a.png has the colour \(90, 90, 91\) at column 4, row 7, which no class has .1 such"),
    ((0, 200, 0, 127), "a.png is transparent at column 4, row 7")])
def test_a_pixel_of_no_class_is_named(garden, colour, words):
    label = coloured(np.zeros((20, 30), int))
    if len(colour) == 4:
        label.putalpha(255)
    label.putpixel((4, 7), colour)
    with pytest.raises(ValueError, match=words):
        prepared(garden("a", label), COLOURS)


@pytest.mark.parametrize("text, words", [
    ("label_ids: [1, 2]\ncolours: [[0, 200, 0], [90, 90, 90]]\n", "colours: 2, but label_ids go up to 2"),
    ("colours: [[0, 200, 0], [0, 200, 0]]\n", r"colours: \(0, 200, 0\) is that of the label ids 0 and 1")])
def test_colours_that_do_not_tell_classes_convert_nothing(garden, text, words):
    with pytest.raises(ValueError, match=words):
        prepared(garden("a", coloured(np.zeros((20, 30), int))), GARDEN + text)


def test_fewer_colours_than_the_values_need_are_told(garden, capsys):
    root = garden("a", 1 + np.arange(600).reshape(20, 30) % 2)
    prepared(root, GARDEN + "label_ids: [1, 2]\ncolours: [[0, 200, 0], [90, 90, 90]]\n")
    assert "odd: colours: 2, of the values 0 … 1, but label_ids go up to 2: colours are" in capsys.readouterr().out


def palette_label(colours):
    label = Image.fromarray((np.arange(600).reshape(20, 30) % 2).astype(np.uint8))
    label.putpalette(np.array(colours, np.uint8).tobytes())
    return label


def test_a_palette_in_another_order_than_the_colours_is_refused(garden):
    root = garden("a", palette_label([(90, 90, 90), (0, 200, 0)]))
    with pytest.raises(ValueError, match=r"a.png has \(90, 90, 90\) as the colour of its value 0, grass, which the "
                                         "dataset's colours have for 1, path: are they numbered otherwise"):
        prepared(root, COLOURS)


def test_a_palette_of_other_colours_is_told_and_the_same_is_not(garden, capsys):
    root = garden("a", palette_label([(0, 200, 0), (90, 90, 90)]))
    prepared(root, COLOURS)
    assert "odd" not in capsys.readouterr().out
    garden("b", palette_label([(0, 200, 0), (7, 7, 7)]))
    prepared(root, COLOURS)
    assert ("odd: 1 labels show classes in other colours than the dataset's, the first labels/train/b.png: 1 is "
            "(7, 7, 7) there") in capsys.readouterr().out


def test_masks_of_0_and_255_are_told(garden, capsys):
    prepared(garden("a", np.arange(600).reshape(20, 30) % 2 * 255))
    assert "odd: 1 of 2 classes never occur: path; if 255 in the labels is a class's, say so" in capsys.readouterr().out


def test_two_images_of_one_label_are_refused(garden):
    garden("a")
    with pytest.raises(ValueError, match=r"images/train/a.jpg and a.png have one label, labels/train/a.png: rename"):
        prepared(garden("a", extension="png"))


def test_accents_in_one_letter_or_two_are_one_name(garden):
    one, two = (unicodedata.normalize(form, "Bäume") for form in ("NFC", "NFD"))
    root = garden(one)
    (root / "labels" / "train" / f"{one}.png").rename(root / "labels" / "train" / f"{two}.png")
    assert prepared(root) == [f"images/train/{one}.jpg\tlabels/train/{two}.png"]


def test_the_files_own_name_is_the_datasets(garden):
    root = garden("a")
    text = "name: beds\n" + GARDEN
    (root.parent / "garden.yaml").write_text(text)
    prepare.main(["own", "--root", str(root), "--dataset-file", str(root.parent / "garden.yaml"), "--out",
                  str(root.parent / "lists")])
    assert (root.parent / "lists" / "beds" / "train.lst").is_file()


def test_ids_that_are_classes_and_ignored_are_refused():
    with pytest.raises(ValueError, match=r"a value stands twice: \[255\]; ignored_ids are \[255\] unless given"):
        SegmentationDataset("masks", ("ground", "thing"), (0, 255))
    assert SegmentationDataset("masks", ("ground", "thing"), (0, 255), ()).to_classes(
        np.array([[0, 255]]), "").tolist() == [[0, 1]]
