"""`Segmenter` and `Classifier`, the entrance from Python: what the drivers give, to the bit."""
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from random_weights import make_weights, random_weights

from ademxapp.data.images import decode_label, decode_rgb, read_bytes
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.evaluation.dense import scores_at_image_size
from ademxapp.evaluation.pictures import class_colours, labels_over
from ademxapp.evaluation.score_files import read_scores
from ademxapp.weights.description import write_description
from iclass import Classifier, ilsvrc
from iclass.datasets import DATASETS as CLASSIFICATION_DATASETS
from issegm import Segmenter, voc
from issegm.datasets import DATASETS

SEG, CLS = "demo_rna-b1-w0.02_cls6_s8", "demo-cls_rna-b1-w0.02_cls5"
SIZES = ((60, 80), (50, 40), (64, 64))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights of both tasks, images and a list of each."""
    folder = tmp_path_factory.mktemp("entrance")
    make_weights(folder / f"{CLS}_ep-0001.params", CLS)
    random_weights(str(folder / f"{SEG}_ep-0001.params"))
    for number, size in enumerate(SIZES):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize(size[::-1]).save(folder / f"{number}.png")
    samples = [Sample(str(folder), f"{number}.png", number) for number in range(len(SIZES))]
    write_classification_list(str(folder / "cls.lst"), samples)
    write_segmentation_list(str(folder / "seg.lst"), samples)
    return folder


@pytest.fixture(scope="module")
def segmenter(made):
    return Segmenter.load(str(made / f"{SEG}_ep-0001.params"))


@pytest.fixture(scope="module")
def classifier(made):
    return Classifier.load(str(made / f"{CLS}_ep-0001.params"))


def paths(folder):
    return [str(folder / f"{number}.png") for number in range(len(SIZES))]


FLAGS = (([], {}), (["--test-flipping", "--test-steps", "2"], {"flipping": True, "steps": 2}),
         (["--window", "40"], {"window": 40}))


@pytest.mark.parametrize("flags, arguments", FLAGS)
def test_labels_and_scores_are_those_of_the_driver(made, segmenter, tmp_path, flags, arguments):
    voc.main(["--phase", "test", "--split", "test", "--weights", str(made / f"{SEG}_ep-0001.params"), "--list",
              str(made / "seg.lst"), "--data-root", str(made), "--output", str(tmp_path), "--test-scales", "48,64",
              "--save-predictions", "--cpus", "1", *flags])
    out = tmp_path / f"{SEG}_ep-0001_test"
    labels = segmenter.predict(paths(made), scales=(48, 64), **arguments)
    for number, (path, size) in enumerate(zip(paths(made), SIZES)):
        assert labels[number].shape == size and labels[number].dtype == np.uint8
        written = out / f"{number}.png"
        np.testing.assert_array_equal(segmenter.record.to_label_ids(labels[number]),
                                      decode_label(read_bytes(written), "labels"))
        maps = segmenter.tested(scales=(48, 64), **arguments).score_maps(None, decode_rgb(read_bytes(path), path))
        for scale, found in zip((48, 64), maps):
            kept, attributes = read_scores(str(out / "scores" / f"scale-{scale}" / f"{number}.h5"))
            np.testing.assert_array_equal(found.scores.astype(np.float16), kept.scores.astype(np.float16))
            assert attributes.get("window", 0) == (40 if "window" in arguments else 0)
        scores = segmenter.probabilities(path, scales=(48, 64), **arguments)
        assert scores.shape == (6, *size) and scores.dtype == np.float32
        np.testing.assert_array_equal(scores, scores_at_image_size(maps))
        np.testing.assert_array_equal(scores.argmax(0), labels[number])


def test_images_may_be_paths_pictures_or_pixels(made, segmenter, classifier):
    path = paths(made)[0]
    picture = Image.open(path)
    same = (path, made / "0.png", picture, picture.convert("RGBA"), np.array(picture))
    labels = segmenter.predict(list(same), scales=(32,))
    probabilities = classifier.predict(list(same), scales=(32,))
    for one, other in zip(labels[1:], probabilities[1:]):
        np.testing.assert_array_equal(one, labels[0])
        np.testing.assert_array_equal(other, probabilities[0])
    np.testing.assert_array_equal(segmenter.predict(path, scales=32), labels[0])  # one scale may stand alone
    for wrong, words in ((np.zeros((4, 4)), r"an array of float64, \(4, 4\) is no image"), (3, "int is no image"),
                         (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\) is no image")):
        for network in (segmenter, classifier):
            with pytest.raises(ValueError, match=words):
                network.predict(wrong)


def test_overlays_are_the_programs(made, segmenter):
    path = paths(made)[0]
    pixels, labels = decode_rgb(read_bytes(path), path), segmenter.predict(path, scales=(48,))
    record = DATASETS["demo"]
    wanted = labels_over(pixels, labels, class_colours(record.palette, record.label_ids))
    np.testing.assert_array_equal(segmenter.overlay(path, labels), wanted)
    np.testing.assert_array_equal(segmenter.tested(scales=(48,)).overlay(pixels), wanted)
    with pytest.raises(ValueError, match="are not of this image"):
        segmenter.overlay(path, labels[:-5])
    assert segmenter.class_names == record.class_names


VIEWS = (([], {}), (["--test-flipping"], {"flipping": True}), (["--test-3crops", "--test-crop-size", "32"],
         {"crops": "three", "crop": 32}), (["--test-10crops"], {"crops": "five", "flipping": True}),
         (["--no-choose-interp-method"], {"interpolation": "bicubic"}))


@pytest.mark.parametrize("flags, arguments", VIEWS)
def test_probabilities_are_those_of_the_driver(made, classifier, tmp_path, monkeypatch, flags, arguments):
    written = []
    monkeypatch.setattr(ilsvrc, "write_predictions", lambda path, samples, probs: written.append(probs))
    ilsvrc.main(["--phase", "val", "--split", "val", "--weights", str(made / f"{CLS}_ep-0001.params"), "--list",
                 str(made / "cls.lst"), "--data-root", str(made), "--output", str(tmp_path), "--test-scales", "48,64",
                 "--batch-images", "2", "--cpus", "1", *flags])
    found = classifier.predict(paths(made), scales=(48, 64), batch=2, **arguments)
    np.testing.assert_array_equal(np.stack(found), written[0])
    assert found[0].shape == (5,) and found[0].dtype == np.float32
    assert classifier.class_names == CLASSIFICATION_DATASETS["demo-cls"].class_names


def test_features_are_what_the_classifier_stands_on(made, classifier):
    path = paths(made)[0]
    maps, features = (classifier.features(path, scale=64, pooled=pooled) for pooled in (False, True))
    assert maps.shape == (82, 2, 2) and features.shape == (82,) and features.dtype == np.float32
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-6)
    weight, bias = (classifier.parameters.args[f"linear5_{part}"] for part in ("weight", "bias"))
    scores = np.exp(weight @ features + bias)
    np.testing.assert_allclose(classifier.predict(path, scales=(64,)), scores / scores.sum(), rtol=1e-5)
    several = classifier.features(paths(made), scale=64)
    np.testing.assert_array_equal(several[0], features)


def test_the_engine_that_was_asked_for_runs_what_comes_later(classifier, segmenter):
    """An unknown one, so that it cannot be this process's by chance."""
    with pytest.raises(ModuleNotFoundError, match="ademxapp.engine.third"):
        _ = replace(classifier, engine="third")._maps
    with pytest.raises(ModuleNotFoundError, match="ademxapp.engine.third"):
        replace(segmenter, engine="third").window((64, 64))


def test_weights_are_tested_at_the_size_that_they_were_trained_for(made, tmp_path, segmenter, classifier):
    assert segmenter.test.scales == (168,) and classifier.test.scales == (320,)  # the dataset's, the network's
    for network, about in ((segmenter, {"test_scale": 64}), (classifier, {"test_scale": 48, "class_names": "abcde"})):
        path = shutil.copy(network.weights, tmp_path)
        write_description(path, {**network.description.values(), **about})
        found = type(network).load(path)
        if network is segmenter:
            assert found.test.scales == (64,) and found.class_names == segmenter.class_names
        else:
            assert found.test.scales == (320,)  # class_names is no list: the description cannot be used
            write_description(path, {**network.description.values(), **about, "class_names": list("abcde")})
            found = type(network).load(path)
            assert found.test.scales == (48,) and found.class_names == tuple("abcde")


def test_what_cannot_be_loaded_is_told(made, tmp_path, segmenter, classifier):
    with pytest.raises(ValueError, match="is a network that classifies: iclass.Classifier and iclass/ilsvrc.py are"):
        Segmenter.load(classifier.weights)
    with pytest.raises(ValueError, match="is a network that segments: issegm.Segmenter and issegm/voc.py are for it"):
        Classifier.load(segmenter.weights)
    for network in (segmenter, classifier):
        with pytest.raises(ValueError, match="dtype with x.onnx: an ONNX file says itself"):
            type(network).load("x.onnx", dtype="int8")
    other = shutil.copy(segmenter.weights, tmp_path / "demo_rna-b1-w0.04_cls6_s8_ep-0001.params")
    with pytest.raises(ValueError, match="does not fit the network"):
        Segmenter.load(str(other))
    with pytest.raises(ValueError, match=r"scales \(0,\)"):
        segmenter.predict(paths(made)[0], scales=(0,))
    with pytest.raises(ValueError, match="3 test steps do not divide the stride 8"):
        segmenter.predict(paths(made)[0], steps=3)
    with pytest.raises(ValueError, match="crops 'seven': known are centre, three, five"):
        classifier.predict(paths(made)[0], crops="seven")
