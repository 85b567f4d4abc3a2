"""The whole test flow of segmentation, through the driver, against the original's numbers."""
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference import golden_parameters

from ademxapp.data.images import decode_label, read_bytes, write_png
from ademxapp.evaluation import dense
from ademxapp.symbol import segmentation_symbol
from ademxapp.weights.parameters import Parameters, save_parameters
from issegm import voc

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "val_flow.npz")
LABEL = "voc_rna-a1_cls21_s8"
CASES = {"steps1_flip0": [], "steps2_flip1": ["--test-steps", "2", "--test-flipping"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, truths, a list and weights as the golden numbers were made with."""
    root = tmp_path_factory.mktemp("val_flow")
    lines = []
    for i in range(2):
        Image.fromarray(GOLDEN[f"seg/image{i}"]).save(root / f"image{i}.png")
        write_png(root / f"truth{i}.png", GOLDEN[f"seg/gt{i}"])
        lines.append(f"image{i}.png\ttruth{i}.png\n")
    (root / "val.lst").write_text("".join(lines))
    args, auxs = golden_parameters(segmentation_symbol(LABEL), data=(1, 3, 64, 64))
    args["linear21_weight"] = args["linear21_weight"] * np.float32(GOLDEN["seg/linear21_weight_scale"])
    args["linear21_bias"] = GOLDEN["seg/linear21_bias"]
    save_parameters(str(root / f"{LABEL}_ep-0001.params"),
                    Parameters({name: np.float32(value) for name, value in args.items()},
                               {name: np.float32(value) for name, value in auxs.items()}))
    return root


@pytest.mark.parametrize("case", CASES)
def test_driver_gives_the_originals_results(folder, case, monkeypatch):
    maps, inputs = [], []

    def predict_dense(predict, image, *rest):
        def recorded(data):
            inputs.append(data.copy())
            return predict(data)
        maps.append(dense.predict_dense(recorded, image, *rest))
        return maps[-1]

    monkeypatch.setattr("issegm.segmenter.predict_dense", predict_dense)
    voc.main(["--phase", "val", "--weights", str(folder / f"{LABEL}_ep-0001.params"), "--list",
              str(folder / "val.lst"), "--data-root", str(folder), "--split", "val", "--test-scales", "64",
              "--tag", case, "--cpus", "1"] + CASES[case])
    results = folder / f"{LABEL}_ep-0001_{case}"
    for i, score_map in enumerate(maps):
        if f"seg/{case}/net_preds{i}" in GOLDEN:
            np.testing.assert_allclose(score_map.scores, GOLDEN[f"seg/{case}/net_preds{i}"], atol=1e-4)
        if f"seg/{case}/label{i}" in GOLDEN:
            _same_labels(_png(results / f"image{i}.png"), GOLDEN[f"seg/{case}/label{i}"], score_map)
        if f"seg/{case}/correct{i}" in GOLDEN:
            correct = _png(results / "correct" / f"image{i}.png")
            assert (correct != GOLDEN[f"seg/{case}/correct{i}"]).mean() < 1e-3
    if f"seg/{case}/inputs_of_image0" in GOLDEN:
        golden = GOLDEN[f"seg/{case}/inputs_of_image0"]
        np.testing.assert_allclose(np.concatenate(inputs)[:len(golden)], golden, atol=1e-5)
    result = json.loads((results / "result.json").read_text())
    truths = [GOLDEN[f"seg/gt{i}"] for i in range(2)]
    labels = [_png(results / f"image{i}.png") for i in range(2)]
    right = sum(int((truth == label).sum()) for truth, label in zip(truths, labels))
    assert result["pixel_acc"] == pytest.approx(100 * right / sum(int((truth != 255).sum()) for truth in truths))


def _png(path):
    return decode_label(read_bytes(path), str(path))


def _same_labels(found, golden, score_map):
    """Equal, but for pixels whose two best scores differ by less than 1e-3."""
    scores = dense.scores_at_image_size([score_map])
    best = np.sort(scores, axis=0)[-2:]
    clear = best[1] - best[0] >= 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found[clear], golden[clear])
