"""Testing of classification: crops, averages over networks, predictions, entries for ILSVRC's server."""
import json
import shutil

import numpy as np
import pytest
from random_weights import make_weights
from scipy.io import savemat

from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample, write_classification_list
from ademxapp.engine import load
from iclass import ilsvrc
from iclass.classifier import Classifier, read_predictions, write_entry, write_predictions
from iclass.datasets import SYNSETS, kit_numbers
from iclass.datasets import testing_size as size_for_test

LABEL = "tiny_rna-b1-w0.02_cls6"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Seven images of six classes with their list, and the weights of two networks."""
    folder = tmp_path_factory.mktemp("classify")
    rng, samples = np.random.default_rng(0), []
    for number in range(7):
        name = f"images/{6 - number}.png"
        write_png(str(folder / name), rng.integers(0, 256, (40, 52 + 5 * number, 3)).astype(np.uint8))
        samples.append(Sample(str(folder), name, number % 6))
    write_classification_list(str(folder / "val.lst"), samples)
    write_classification_list(str(folder / "test.lst"), [Sample(one.root, one.image, -1) for one in samples])
    for seed, name in enumerate((f"{LABEL}_ep-0001", "tiny_rna-d1-w0.02_cls6_ep-0003")):
        make_weights(folder / f"{name}.params", name, seed)
    return folder


@pytest.fixture
def world(made, tmp_path):
    shutil.copytree(made, tmp_path / "world")
    return tmp_path / "world"


def test_network(folder, *arguments):
    """Run phase val, or the phase among the arguments: (result, predictions, folder)."""
    phase = () if "--phase" in arguments else ("--phase", "val", "--split", "val", "--list", str(folder / "val.lst"))
    ilsvrc.main(["--weights", str(folder / f"{LABEL}_ep-0001.params"), "--data-root", str(folder), "--cpus", "1",
                 "--overwrite", *phase, *arguments])
    out = next(path.parent for path in folder.glob("*/result.json"))
    return json.loads((out / "result.json").read_text()), read_predictions(str(out / "predictions.tsv")), out


test_network.__test__ = False


def all_probabilities(folder, name, **views):
    network = Classifier.read(str(folder / f"{name}.params"), **views)
    samples = [Sample(str(folder), f"images/{6 - number}.png", number % 6) for number in range(7)]
    return network.on(load().devices(cpus=1)).probabilities(samples)


def test_ten_crops_are_the_corners_the_centre_and_their_mirror_images(made):
    """Each crop alone through the network, on a scaled image that is made by hand."""
    from PIL import Image
    network = Classifier.read(str(made / f"{LABEL}_ep-0001.params"))
    predict = load().Predictor(network.symbol, network.parameters, load().devices(cpus=1))
    image = Image.open(made / "images/6.png").resize((round(52 * 64 / 40), 64), Image.BICUBIC)
    crops = []
    for left, top in ((0, 0), (image.width - 56, 0), (0, 8), (image.width - 56, 8), (-(-(image.width - 56) // 2), 4)):
        pixels = np.asarray(image.crop((left, top, left + 56, top + 56))) / 255
        crop = ((pixels - network.description.mean) / network.description.std).transpose(2, 0, 1).astype(np.float32)
        crops += [crop, crop[..., ::-1]]
    wanted = np.mean([predict(crop[None])[0] for crop in crops], 0)
    found = all_probabilities(made, f"{LABEL}_ep-0001", scales=(64,), crops="five", flipping=True, batch=3)
    np.testing.assert_allclose(found[0], wanted, atol=1e-5)
    centre = all_probabilities(made, f"{LABEL}_ep-0001", scales=(64,), crop=56)
    assert np.abs(centre[0] - wanted).max() > 1e-3


@pytest.mark.parametrize("batch", [1, 3, 7, 10])
def test_the_last_batch_counts_whatever_is_left_of_it(world, batch):
    result, predictions, _ = test_network(world, "--test-scales", "32", "--batch-images", str(batch))
    probs = all_probabilities(world, f"{LABEL}_ep-0001", scales=(32,), batch=7)
    assert result["images"] == len(predictions) == 7
    truth = np.arange(7) % 6
    assert result["top1_error"] == pytest.approx(100 * (probs.argmax(1) != truth).mean())
    assert [row[3][0][0] for row in predictions] == probs.argmax(1).tolist()
    assert [row[2] for row in predictions] == pytest.approx(probs[np.arange(7), truth].tolist(), abs=2e-6)


def test_networks_are_averaged(world):
    other = "tiny_rna-d1-w0.02_cls6_ep-0003"
    result, predictions, _ = test_network(world, "--test-scales", "32,48", "--also", str(world / f"{other}.params"))
    each = [all_probabilities(world, name, scales=(32, 48)) for name in (f"{LABEL}_ep-0001", other)]
    mean = (each[0] + each[1]) / 2
    assert np.abs(each[0] - each[1]).max() > 1e-3
    assert [row[3][0][1] for row in predictions] == pytest.approx(mean.max(1).tolist(), abs=2e-6)
    assert result["arguments"]["also"] == [str(world / f"{other}.params")]


def test_networks_of_other_classes_cannot_be_averaged(world):
    other = make_weights(world / "tiny_rna-b1-w0.02_cls5_ep-0001.params", "tiny_rna-b1-w0.02_cls5")
    with pytest.raises(UsageError, match=r"cls5_ep-0001\.params has 5 classes, .* 6"):
        test_network(world, "--test-scales", "32", "--also", other)
    assert not list(world.glob("*/result.json"))


def test_phase_test_predicts_without_scores(world):
    result, predictions, out = test_network(world, "--phase", "test", "--split", "test", "--test-scales", "32",
                                            "--list", str(world / "test.lst"))
    assert "top1_error" not in result and {row[1:3] for row in predictions} == {(-1, None)}
    assert not (out / "entry.txt").exists()


@pytest.mark.parametrize("arguments, words", [
    (("--test-crop-size", "40"), "crops of 40 pixels are larger than the images' shorter side at size 32"),
    (("--test-3crops", "--test-10crops"), "not allowed with"),
    (("--also", "none.params"), "there is no file none.params"),
])
def test_wrong_use(world, arguments, words):
    with pytest.raises(UsageError, match=words):
        test_network(world, "--test-scales", "32", *arguments)


# ILSVRC's server


@pytest.fixture
def devkit(tmp_path):
    """A development kit whose numbers are in the reverse order of the synsets'."""
    (tmp_path / "kit" / "data").mkdir(parents=True)
    table = np.zeros(len(SYNSETS), [("ILSVRC2012_ID", "O"), ("WNID", "O")])
    for place, synset in enumerate(SYNSETS):
        table[place] = (1000 - place, synset)
    savemat(str(tmp_path / "kit" / "data" / "meta.mat"), {"synsets": table})
    return tmp_path / "kit"


def test_an_entry_has_the_servers_numbers_of_the_five_best_in_the_order_of_the_images(world, devkit):
    weights = make_weights(world / "ilsvrc-cls_rna-b1-w0.02_cls1000_ep-0001.params", "ilsvrc-cls_rna-b1-w0.02_cls1000")
    arguments = ["--phase", "test", "--split", "test", "--test-scales", "32", "--list", str(world / "test.lst"),
                 "--weights", weights, "--data-root", str(world), "--cpus", "1"]
    with pytest.raises(UsageError, match="--devkit"):
        ilsvrc.main(arguments)
    ilsvrc.main([*arguments, "--devkit", str(devkit)])
    out = world / "ilsvrc-cls_rna-b1-w0.02_cls1000_ep-0001_test"
    lines = (out / "entry.txt").read_text().splitlines()
    rows = sorted(read_predictions(str(out / "predictions.tsv")))  # by name: the list has them the other way round
    assert len(lines) == 7 and lines == [
        " ".join(str(1000 - index) for index, _ in best) for _, _, _, best in rows]
    assert "7 images: the test set has 100,000" in (world / "ilsvrc-cls_rna-b1-w0.02_cls1000.log").read_text()


def test_a_development_kit_without_a_class_is_named(devkit, tmp_path):
    with pytest.raises(ValueError, match="has no number of n99999999, and of 1 of the 2 classes"):
        kit_numbers(str(devkit), [SYNSETS[0], "n99999999"])
    (devkit / "data" / "meta.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not the development kit's"):
        kit_numbers(str(devkit), SYNSETS)


def test_predictions_come_back_as_they_were_written(tmp_path):
    probs = np.array([[0.5, 0.25, 0.125, 0.125], [0, 0, 1, 0]])
    path = str(tmp_path / "predictions.tsv")
    write_predictions(path, [Sample("", "a.png", 1), Sample("", "b c.png")], probs)
    assert read_predictions(path) == [
        ("a.png", 1, 0.25, [(0, 0.5), (1, 0.25), (2, 0.125), (3, 0.125)]),
        ("b c.png", -1, None, [(2, 1.0), (0, 0.0), (1, 0.0), (3, 0.0)])]
    write_entry(str(tmp_path / "entry.txt"), probs, [40, 30, 20, 10])
    assert (tmp_path / "entry.txt").read_text() == "40 30 20 10\n20 40 30 10\n"
    text = (tmp_path / "predictions.tsv").read_text()
    for damage in (text[:-1], text[5:], text.replace("0.25", "x")):
        (tmp_path / "predictions.tsv").write_text(damage)
        with pytest.raises(ValueError, match="is no whole file of predictions"):
            read_predictions(path)


def test_results_of_earlier_versions_are_not_of_other_arguments(world):
    """A flag that is new and not given makes no difference."""
    _, _, out = test_network(world, "--test-scales", "32")
    result = json.loads((out / "result.json").read_text())
    for name in ("also", "test_10crops", "test_crop_size", "devkit"):
        assert result["arguments"].pop(name) is None
    for name in ("task", "identity", "weights_sha256", "samples_sha256", "dataset_sha256"):
        del result[name]
    (out / "result.json").write_text(json.dumps(result))
    with pytest.raises(UsageError, match="another test_flipping: give this one a --tag"):
        ilsvrc.main(["--weights", str(world / f"{LABEL}_ep-0001.params"), "--data-root", str(world), "--cpus", "1",
                     "--phase", "val", "--split", "val", "--list", str(world / "val.lst"), "--test-scales", "32",
                     "--test-flipping"])
    assert test_network(world, "--test-scales", "32")[2] == out


def test_an_image_that_would_grow_too_much_is_named():
    assert size_for_test((1, 1000), 200, "x.png") == (200, 200000)
    with pytest.raises(ValueError, match=r"x.png has 65000x1 pixels, and would have 16640000x256 .*cut it first"):
        size_for_test((1, 65000), 256, "x.png")
