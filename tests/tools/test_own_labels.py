"""`prepare.py own`: what images and labels of one's own say of themselves is told, or refused, and never ignored."""
import numpy as np
import pytest
from PIL import Image

from ademxapp.data.lists import Sample
from issegm.data import read_pair
from issegm.datasets import SegmentationDataset
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
