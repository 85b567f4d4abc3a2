"""Records of datasets against what their authors publish, and datasets described in files."""
import numpy as np
import pytest

from ademxapp import IGNORE_LABEL
from ademxapp.cli import UsageError
from ademxapp.data.dataset_file import voc_palette
from ademxapp.symbol import network
from iclass import datasets as classification
from iclass import ilsvrc
from issegm import voc
from issegm.datasets import DATASETS, RECORDS, dataset_record
from tools.preparing.voc import CATEGORIES, COCO_NAMES

# Cityscapes' training ids of the ids 0 … 33, as its table of labels has them.
TRAINING_IDS = [255] * 7 + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255,
                            255, 16, 17, 18]
SIZES = {"voc": (1464, 1449), "cityscapes": (2975, 500), "ade20k": (20210, 2000), "pascal-context": (4998, 5105)}


def test_cityscapes_ids_become_training_ids_and_go_back():
    record = DATASETS["cityscapes"]
    np.testing.assert_array_equal(record.to_classes(np.arange(34), "a.png"), TRAINING_IDS)
    np.testing.assert_array_equal(record.to_label_ids(np.arange(19)), [i for i in range(34) if TRAINING_IDS[i] != 255])
    assert record.class_names[0] == "road" and record.class_names[18] == "bicycle"
    for value, colour in ((6, (81, 0, 81)), (7, (128, 64, 128)), (24, (220, 20, 60)), (33, (119, 11, 32))):
        assert tuple(record.palette[value]) == colour
    with pytest.raises(ValueError, match=r"a\.png has label 34, 255, which is no class of cityscapes"):
        record.to_classes(np.array([7, 34, 255]), "a.png")


def test_ade20k_counts_from_one_and_ignores_zero(data_root):
    record = DATASETS["ade20k"]
    classes = record.to_classes(np.arange(151), "a.png")
    np.testing.assert_array_equal(classes, [IGNORE_LABEL, *range(150)])
    np.testing.assert_array_equal(record.to_label_ids(np.arange(150)), np.arange(1, 151))
    with pytest.raises(ValueError, match="label 151"):
        record.to_classes(np.array([151]), "a.png")
    rows = (data_root / "ade20k" / "ADEChallengeData2016" / "objectInfo150.txt").read_text().splitlines()[1:]
    assert record.class_names == tuple(row.split("\t")[4].split(",")[0].strip() for row in rows)
    colours = {"wall": (120, 120, 120), "sky": (6, 230, 230), "person": (150, 5, 61), "flag": (92, 0, 255)}
    for name, colour in colours.items():
        assert tuple(record.palette[1 + record.class_names.index(name)]) == colour


def test_camvid_order_and_colours():
    record = DATASETS["camvid"]
    assert record.class_names[:4] == ("sky", "building", "pole", "road") and record.ignored_ids == (11,)
    np.testing.assert_array_equal(record.palette[[0, 3, 10]], [(128, 128, 128), (128, 64, 128), (0, 128, 192)])


def test_voc_and_coco_classes_agree():
    record, coco = DATASETS["voc"], DATASETS["coco"]
    assert record.class_names[1:] == tuple(sorted(record.class_names[1:])) and record.classes == 21
    np.testing.assert_array_equal(record.palette, voc_palette())
    assert len({CATEGORIES[COCO_NAMES.get(name, name)] for name in record.class_names[1:]}) == 20
    assert coco.classes == 81 and coco.label_ids[-1] == 90 and list(coco.label_ids) == sorted(coco.label_ids)
    np.testing.assert_array_equal(coco.to_label_ids(coco.to_classes(np.array([0, 1, 13, 90]), "")), [0, 1, 13, 90])


def test_pascal_context_is_chosen_by_the_number_of_classes():
    with_background, without = (dataset_record("pascal-context", classes) for classes in (60, 59))
    assert DATASETS["pascal-context"] is with_background and with_background.class_names[1:] == without.class_names
    labels = np.array([0, 1, 59, 255])
    np.testing.assert_array_equal(with_background.to_classes(labels, ""), [0, 1, 59, 255])
    np.testing.assert_array_equal(without.to_classes(labels, ""), [255, 0, 58, 255])
    with pytest.raises(ValueError, match="pascal-context has 60 or 59 classes, the label says 33"):
        dataset_record("pascal-context", 33)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_lists(name):
    assert tuple(DATASETS[name].splits[split] for split in ("train", "val")) == SIZES[name]


def test_published_scores_are_of_known_networks():
    for record in RECORDS:
        for (label, head, split), scores in record.paper.items():
            assert network(label) and split in record.splits and head in ("1conv", "2conv")
            assert all(0 < score < 100 for score in scores.values())
    assert DATASETS["cityscapes"].paper["rna-a2", "2conv", "val"]["mean_iou"] == 77.86  # Table 4
    assert DATASETS["ade20k"].paper["rna-a2", "2conv", "val"]["mean_iou"] == 43.73


def test_dataset_file_of_segmentation(tmp_path):
    (tmp_path / "garden.yaml").write_text(
        "class_names: [grass, path]\nlabel_ids: [3, 7]\nignored_ids: [0]\ncolours: [[0, 0, 0], [9, 9, 9]]\n"
        "splits: {train: 4}\nlargest_side: 640\nsame_size: true\n")
    record = dataset_record("garden", 2, str(tmp_path / "garden.yaml"))
    assert (record.name, record.class_names, record.label_ids) == ("garden", ("grass", "path"), (3, 7))
    assert (record.largest_side, record.same_size, record.splits) == (640, True, {"train": 4})
    np.testing.assert_array_equal(record.to_classes(np.array([3, 7, 0]), ""), [0, 1, 255])
    assert tuple(record.palette[1]) == (9, 9, 9)
    with pytest.raises(ValueError, match="garden has 2 classes, the label says 3"):
        dataset_record("garden", 3, str(tmp_path / "garden.yaml"))


def test_dataset_file_of_classification(tmp_path):
    (tmp_path / "pets.yaml").write_text("name: pets\nclass_names: [cat, dog]\n")
    assert classification.dataset_record("pets", 2, str(tmp_path / "pets.yaml")).class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="2 classes, the label says 3"):
        classification.dataset_record("pets", 3, str(tmp_path / "pets.yaml"))


@pytest.mark.parametrize("text, words", [
    ("class_names: [a, b]\nclases: 2\n", "'clases' is no field of a dataset; known are name, class_names"),
    ("label_ids: [1, 2]\n", "there is no class_names"),
    ("class_names: grass\n", "class_names: wanted a list of texts, got 'grass'"),
    ("class_names: [a, 7]\n", "class_names: item 1: wanted a text, got 7"),
    ("class_names: [on, off]\n", "item 0: wanted a text, got True; YAML takes it for another thing unless it"),
    ("class_names: [a, b]\nlabel_ids: [1]\n", "label_ids: 1 values for 2 classes"),
    ("class_names: [a, b]\nlabel_ids: [1, 300]\n", "label_ids and ignored_ids: wanted values in 0 … 255"),
    ("class_names: [a, b]\nlabel_ids: [1, 255]\n", "label_ids and ignored_ids: a value stands twice"),
    ("class_names: [a, a]\n", "class_names: a name stands twice"),
    ("class_names: [a, b]\ncolours: [[0, 0]]\n", "colours: item 0: wanted a list of 3 integers, got [0, 0]"),
    ("class_names: [a, b]\nlargest_side: true\n", "largest_side: wanted an integer, got True"),
    ("class_names: [a, b]\nsplits: [4]\n", "splits: wanted a mapping of texts to integers, got [4]"),
    ("class_names: [a, b]\npaper: {}\n", "'paper' is no field"),
    ("name: lawn\nclass_names: [a, b]\n", "name: 'lawn'"),
    ("class_names: [a, b\n", "is no YAML"),
    ("- a\n", "describes no dataset"),
])
def test_what_is_wrong_in_a_dataset_file_is_named(tmp_path, text, words):
    path = tmp_path / "garden.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        dataset_record("garden", 2, str(path))
    assert str(path) in str(error.value) and words in str(error.value)


@pytest.mark.parametrize("driver, label", [(ilsvrc, "pets_rna-b1-w0.02_cls2"), (voc, "pets_rna-b1-w0.02_cls2_s8")])
def test_drivers_take_a_dataset_file(tmp_path, monkeypatch, driver, label):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets.yaml").write_text("class_names: [cat, dog, owl]\n")
    with pytest.raises(UsageError, match="pets has 3 classes, the label says 2"):
        driver.main(["--model", label, "--to-epoch", "1", "--dataset-file", "pets.yaml"])
    with pytest.raises(UsageError, match="there is no file nowhere.yaml"):
        driver.main(["--model", label, "--to-epoch", "1", "--dataset-file", "nowhere.yaml"])
