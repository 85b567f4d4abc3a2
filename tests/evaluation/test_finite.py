"""Networks whose outputs are no numbers: an error that names weights and image, in every program."""
import numpy as np
import pytest
from random_weights import make_weights, random_weights
from worlds import write_data

from ademxapp.network import require_finite
from ademxapp.weights.parameters import load_parameters, save_parameters
from iclass import Classifier, ilsvrc
from issegm import Segmenter, voc
from tools import msctest, predict, weights

CLS, SEG = "tiny_rna-b1-w0.02_cls2_ep-0001.params", "demo_rna-b1-w0.02_cls6_s8_ep-0001.params"
FIRST = {CLS: "data/tiny/val/cat/0.png", SEG: "data/demo/images/val0.png"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, weights with a bias that is no number, and whole ones in good/."""
    folder = tmp_path_factory.mktemp("finite")
    write_data(folder)
    (folder / "good").mkdir()
    for name, make in ((CLS, lambda path: make_weights(path, CLS)), (SEG, random_weights)):
        make(str(folder / "good" / name))
        parameters = load_parameters(str(folder / "good" / name))
        bias = next(key for key in parameters.args if key.startswith("linear") and key.endswith("_bias"))
        parameters.args[bias][1] = np.nan
        save_parameters(str(folder / name), parameters)
    return folder


@pytest.mark.parametrize("weights, run", [
    (CLS, lambda: ilsvrc.main(f"--phase val --split val --test-scales 32 --cpus 1 --weights {CLS}".split())),
    (SEG, lambda: voc.main(f"--phase val --split val --test-scales 48 --cpus 1 --weights {SEG}".split())),
    (SEG, lambda: voc.main(f"--phase test --split val --test-scales 48 --cpus 1 --tag t --weights {SEG}".split())),
    (SEG, lambda: msctest.main(f"--split val --test-scales 48 --cpus 1 --weights good/{SEG} --weights {SEG}".split())),
    (CLS, lambda: Classifier.load(CLS).predict([FIRST[CLS]], scales=(32,))),
    (SEG, lambda: Segmenter.load(SEG).predict(FIRST[SEG], scales=(48,)))])
def test_what_is_no_number_is_no_class(world, monkeypatch, weights, run):
    monkeypatch.chdir(world)
    with pytest.raises(ValueError, match=f"{weights} gives .* probabilities that are not finite: tools/weights.py check"
                       ) as caught:
        run()
    assert FIRST[weights] in str(caught.value) or "the image" in str(caught.value)
    assert not list(world.rglob("result.json"))


@pytest.mark.parametrize("weights, image", FIRST.items())
def test_predict_names_every_image(world, monkeypatch, weights, image):
    monkeypatch.chdir(world)
    with pytest.raises(ValueError, match="1 of 1 images could not be used"):
        predict.main([image, "--weights", weights, "--cpus", "1", "--test-scales", "48", "--out", "seen",
                      "--overwrite"])
    said = (world / "seen" / "predict.log").read_text()
    assert f"left out: {weights} gives {image} probabilities that are not finite" in said
    assert not list((world / "seen").glob("*.png")) and not list((world / "seen").glob("*.tsv"))


def test_nothing_is_exported(world, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(world)
    with pytest.raises(ValueError, match="probabilities that are not finite: tools/weights.py check"):
        weights.main(["export", SEG, "--size", "64", "--out", "x.onnx"])
    assert not (world / "x.onnx").exists()


def test_kept_scores_that_are_no_numbers_are_told(world, monkeypatch):
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(world)
    voc.main(f"--phase val --split val --test-scales 48 --cpus 1 --tag kept --save-predictions --weights good/{SEG}"
             .split())
    path = next(world.rglob("val1.h5"))
    with h5py.File(path, "r+") as file:
        file["scores"][0, 1, 1] = np.nan
    with pytest.raises(ValueError, match="val1.h5 has scores that are not finite"):
        msctest.main(["--split", "val", "--predictions", str(path.parent.parent.parent), "--model", SEG[:-15]])


def test_the_image_is_the_first_whose_values_are_none():
    values = np.zeros((4, 2, 3), np.float32)
    require_finite(values, "w", str)
    values[2, 1, 0] = np.inf
    with pytest.raises(ValueError, match="^w gives 2 probabilities"):
        require_finite(values, "w", str)
