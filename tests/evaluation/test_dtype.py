"""--dtype: networks in bfloat16 and INT8 held to the plain float32 ones; the kept ranges; every error."""
import json
import os
import shutil

import numpy as np
import pytest
from conftest import ROOT

from ademxapp import driver
from ademxapp.backend import mx
from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.engine.mxnet.runtime import Int8Network, Predictor, RangeRecorder, as_mxnet, in_bfloat16
from ademxapp.machine import can_compute, slow_because
from ademxapp.network import LEAST_IMAGES, Network
from ademxapp.settings import DTYPES
from ademxapp.symbol import SymbolOptions, classification_symbol, parse_label, segmentation_symbol
from ademxapp.weights.parameters import Parameters, parameter_shapes, save_parameters
from iclass import ilsvrc
from iclass.classifier import read_predictions
from iclass.ilsvrc import ClassificationSettings
from issegm import voc
from tools import bench, predict
from tools.reproducing import pages
from tools.reproducing.pages import main_score

CLS, SEG = "tiny_rna-b1-w0.1_cls6", "demo_rna-b1-w0.1_cls6_s8"
# Units in B1 and dilated pooling; two scales, with shared parameters; sums with a ReLU behind; no BN at all.
NETWORKS = (CLS, SEG, "demo_rna-d-w0.05_cls6_s8", "demo_rna-b1-2s-w0.05_cls6_s8",
            "tiny_rn-50-w0.1_cls6", "tiny_vgg-16-w0.1_cls6")
# Error of the centred log-probabilities over their size (both root mean squares), of networks with random parameters:
# bfloat16 has 8 bits, INT8's maps have 7 or 8 for the whole range. A wrong sum (see units.py) gives 0.2 and more.
WITHIN = {"bfloat16": 0.04, "int8": 0.07}


def make_symbol(label):
    options = SymbolOptions(bn_use_global_stats=True)
    return (segmentation_symbol(label, options, "2conv", "softmax") if parse_label(label).stride
            else classification_symbol(label, options))


def random_parameters(symbol, side=32):
    """Parameters that keep the maps in range, every kind of them random."""
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(symbol, data=(1, 3, side, side))

    def values(name, shape):
        if name.endswith("_weight"):
            return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        if name.endswith("_gamma"):
            return rng.uniform(0.4, 0.8, shape)
        if name.endswith("_var"):
            return rng.uniform(0.5, 1.5, shape)
        return rng.normal(0, 0.1, shape)

    return Parameters(*({name: np.float32(values(name, shape)) for name, shape in kind.items()} for kind in shapes))


def unfused(symbol, parameters, data):
    """The outputs of the network as it stands, operator by operator: oneDNN's fusion is not used for training."""
    executor = symbol.simple_bind(mx.cpu(), grad_req="write", data=data.shape)
    executor.copy_params_from(as_mxnet(parameters.args), as_mxnet(parameters.auxs))
    return executor.forward(is_train=False, data=mx.nd.array(data))[0].asnumpy()


def error(found, wanted):
    """Of centred log-probabilities, root mean squares: of the difference over the wanted."""
    found, wanted = (np.log(one) - np.log(one).mean(1, keepdims=True) for one in (found, wanted))
    return np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted ** 2))


@pytest.mark.parametrize("label", NETWORKS)
def test_every_type_is_held_to_the_plain_network(label):
    symbol = make_symbol(label)
    side = 64 if parse_label(label).stride else 96
    parameters = random_parameters(symbol, side)
    data = np.random.default_rng(1).normal(size=(2, 3, side, side)).astype(np.float32)
    wanted = unfused(symbol, parameters, data)
    np.testing.assert_allclose(Predictor(symbol, parameters, [mx.cpu()])(data), wanted, atol=1e-5)

    if "-2s" in label:
        with pytest.raises(ValueError, match="cannot convert this network to bfloat16"):
            in_bfloat16(symbol, parameters)
    elif can_compute("bfloat16"):
        found = Predictor(*in_bfloat16(symbol, parameters), [mx.cpu()])(data)
        assert found.dtype == np.float32 and 1e-6 < error(found, wanted) < WITHIN["bfloat16"]

    int8 = Int8Network(symbol, parameters)
    recorder = RangeRecorder(int8.symbol, int8.parameters, [mx.cpu()], int8.measured)
    np.testing.assert_allclose(recorder(data), wanted, atol=1e-5)
    assert set(recorder.ranges) == int8.measured
    predictor = Predictor(*int8.quantised(recorder.ranges), [mx.cpu()])
    assert 1e-6 < error(predictor(data), wanted) < WITHIN["int8"]
    np.testing.assert_allclose(predictor(data[:1]), predictor(data)[:1], atol=1e-5)  # bound anew, for another shape


def test_the_classifier_remains_in_float32():
    symbol = make_symbol(SEG)
    assert Int8Network(symbol, random_parameters(symbol)).left == ("linear6",)
    symbol = make_symbol(CLS)
    int8 = Int8Network(symbol, random_parameters(symbol))
    assert int8.left == ("bn7", "pool7", "linear6")
    quantised, _ = int8.quantised(dict.fromkeys(int8.measured, (-1, 1)))
    nodes = json.loads(quantised.tojson())["nodes"]
    in_float = [node["op"] for node in nodes if node.get("attrs", {}).get("quantized") != "true"]
    assert not {"_sg_mkldnn_conv", "Convolution"} & set(in_float)


def test_ranges_are_the_lowest_and_highest_numbers_of_all_inputs():
    symbol = mx.sym.Activation(mx.sym.Variable("data"), act_type="relu", name="relu")
    recorder = RangeRecorder(symbol, Parameters({}, {}), [mx.cpu()], {"data", "relu_output"})
    recorder(np.array([[-3.0, 2.0]], np.float32))
    recorder(np.array([[-1.0, 5.0], [0.0, 1.0]], np.float32))
    assert recorder.ranges == {"data": (-3, 5), "relu_output": (0, 5)}


def test_processors_that_have_not_what_it_takes():
    assert slow_because("float32", frozenset()) is None
    assert "avx512_vnni" in slow_because("int8", frozenset({"avx2"}))
    assert slow_because("int8", frozenset({"avx512_vnni"})) is None
    assert "avx512_bf16" in slow_because("bfloat16", frozenset({"avx512_vnni"}))
    assert slow_because("bfloat16", frozenset({"avx512_bf16"})) is None
    assert "amx_bf16" in slow_because("bfloat16", frozenset({"avx512_bf16", "avx512_fp16"}))


def test_bfloat16_needs_wide_registers(monkeypatch):
    assert can_compute("bfloat16", frozenset({"avx512bw"})) and can_compute("int8", frozenset({"avx2"}))
    monkeypatch.setattr("ademxapp.machine.processor_flags", lambda: frozenset({"avx2"}))
    asked = ClassificationSettings(weights=__file__, phase="val", dtype="bfloat16")
    with pytest.raises(UsageError, match="needs processors with AVX-512"):
        driver.checked_dtype(asked)


# The programs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Images with lists of both tasks, and weights."""
    folder = tmp_path_factory.mktemp("dtype")
    rng, samples = np.random.default_rng(0), []
    for number in range(LEAST_IMAGES + 2):
        write_png(str(folder / f"{number}.png"), rng.integers(0, 256, (48, 64, 3)).astype(np.uint8))
        write_png(str(folder / f"truth{number}.png"), np.full((48, 64), number % 6, np.uint8))
        samples.append(Sample(str(folder), f"{number}.png", number % 6, f"truth{number}.png"))
    for name, chosen in (("all", samples), ("few", samples[:LEAST_IMAGES - 1])):
        write_classification_list(str(folder / f"{name}.lst"), chosen)
        write_segmentation_list(str(folder / f"{name}-seg.lst"), chosen)
    for label in (CLS, SEG):
        save_parameters(str(folder / f"{label}_ep-0001.params"), random_parameters(make_symbol(label)))
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "world"


def classify(folder, *arguments):
    """Run phase val: (result, probabilities, what was logged)."""
    weights = folder / f"{CLS}_ep-0001.params"
    log = folder / "log"
    log.unlink(missing_ok=True)
    ilsvrc.main(["--phase", "val", "--weights", str(weights), "--data-root", str(folder), "--split", "val",
                 "--list", str(folder / "all.lst"), "--test-scales", "48", "--cpus", "1", "--overwrite", "--log-file",
                 str(log), *arguments])
    out = folder / weights.stem
    probs = read_predictions(str(out / "predictions.tsv"))
    return json.loads((out / "result.json").read_text()), probs, log.read_text()


def kept(folder, label):
    return json.loads((folder / f"{label}_ep-0001_int8.json").read_text())


def test_ranges_are_kept_and_measured_again_where_they_do_not_fit(world):
    plain = classify(world)[1]
    int8 = ["--dtype", "int8", "--calibrate-list", str(world / "all.lst")]
    result, first, log = classify(world, *int8)
    assert result["arguments"]["dtype"] == "int8" and result["arguments"]["calibrate_list"] == str(world / "all.lst")
    assert first != plain
    assert "measuring ranges on 6 images, 0.png … 5.png" in log and "there is no such file" in log
    assert "bn7, pool7, linear6 remain in float32" in log
    before = kept(world, CLS)
    assert before["origin"]["images"] == [f"{number}.png" for number in range(LEAST_IMAGES + 2)]

    _, again, log = classify(world, *int8)
    assert again == first and "ranges as kept" in log and "measuring" not in log
    assert "of another arguments (test_flipping)" in classify(world, *int8, "--test-flipping")[2]
    shutil.copy(world / "1.png", world / "0.png")
    assert "of another arguments (test_flipping), images_sha256" in classify(world, *int8)[2]
    save_parameters(str(world / f"{CLS}_ep-0001.params"), Parameters(*(
        {name: value + 0.01 for name, value in kind.items()} for kind in vars(random_parameters(make_symbol(CLS))
                                                                              ).values())))
    assert "of another weights_sha256" in classify(world, *int8)[2]
    open(world / f"{CLS}_ep-0001_int8.json", "w").write('{"origin": {}, "ranges": {"data": [1]}}')
    assert "cannot be used" in classify(world, *int8)[2]
    assert kept(world, CLS)["ranges"] != before["ranges"]


def test_kept_ranges_do_where_their_images_are_not_there(world, capfd):
    seg, flags = str(world / f"{SEG}_ep-0001.params"), ["--cpus", "1", "--test-scales", "64", "--dtype", "int8"]
    photograph = ["--weights", seg, "--out", str(world / "out")]
    with pytest.raises(UsageError, match=r"needs images .* data/demo/train.lst: --calibrate-list FILE names some"):
        predict.main([str(world / "0.png"), *photograph, *flags])
    voc.main(["--phase", "val", "--split", "val", "--weights", seg, "--list", str(world / "all-seg.lst"),
              "--data-root", str(world), *flags, "--calibrate-list", str(world / "all-seg.lst")])
    capfd.readouterr()
    predict.main([str(world / "0.png"), *photograph, *flags])
    assert "were not looked at" in capfd.readouterr().err
    written = world / f"{SEG}_ep-0001" / "0.png"
    assert written.read_bytes() == (world / "out" / "0.png").read_bytes()


def test_predictions_take_the_ranges_of_the_drivers_test_and_leave_them(world, capfd):
    """Flags that one program lacks say nothing; nor do those of older files."""
    classify(world, "--dtype", "int8", "--calibrate-list", str(world / "all.lst"))
    path = world / f"{CLS}_ep-0001_int8.json"
    before = path.read_bytes()
    older = json.loads(before)
    older["origin"]["arguments"] = {**older["origin"]["arguments"], "test_steps": None, "window": None,
                                    "test_flipping": False, "test_3crops": False, "test_10crops": None}
    arguments = [str(world / "0.png"), "--weights", str(world / f"{CLS}_ep-0001.params"), "--dtype", "int8", "--cpus",
                 "1", "--out", str(world / "out")]
    for content in (before, json.dumps(older).encode()):
        path.write_bytes(content)
        capfd.readouterr()
        predict.main([*arguments, "--test-scales", "48"])
        assert "were not looked at" in capfd.readouterr().err
        predict.main([*arguments, "--test-scales", "48", "--calibrate-list", str(world / "all.lst"), "--data-root",
                      str(world)])
        assert "ranges as kept" in capfd.readouterr().err and path.read_bytes() == content
    with pytest.raises(UsageError, match=r"data/tiny/train.lst .*: --calibrate-list FILE names some; what is kept in "
                                         r".*_int8.json does not do: it is of another arguments \(test_scales\)"):
        predict.main([*arguments, "--test-scales", "56"])


def test_ranges_that_cannot_be_kept_are_used_all_the_same(world, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "x_int8.json")

    monkeypatch.setattr("ademxapp.network.write_json", full)
    _, probs, log = classify(world, "--dtype", "int8", "--calibrate-list", str(world / "all.lst"))
    assert "could not be kept" in log and "No space left" in log and probs
    assert not os.path.exists(world / f"{CLS}_ep-0001_int8.json")


@pytest.mark.skipif(not can_compute("bfloat16"), reason="bfloat16 needs AVX-512")
def test_bfloat16_through_the_programs(world):
    plain = classify(world)[0]
    result, _, _ = classify(world, "--dtype", "bfloat16")
    assert result["arguments"]["dtype"] == "bfloat16" and result["images"] == plain["images"]
    predict.main([str(world / "0.png"), "--weights", str(world / f"{CLS}_ep-0001.params"), "--dtype", "bfloat16",
                  "--test-scales", "48", "--cpus", "1", "--out", str(world / "out")])
    found = read_predictions(str(world / "out" / "predictions.tsv"))
    assert len(found) == 1


def test_float32_is_as_if_nothing_were_said(world):
    plain = classify(world)
    named = classify(world, "--dtype", "float32")
    assert named[0]["arguments"] == plain[0]["arguments"] and named[1] == plain[1]


@pytest.mark.parametrize("flags, words", [
    (["--calibrate-list", "all.lst"], "--calibrate-list without --dtype int8"),
    (["--dtype", "bfloat16", "--calibrate-list", "all.lst"], "--calibrate-list without --dtype int8"),
    (["--phase", "train", "--to-epoch", "1", "--dtype", "int8"], "training computes in float32"),
    (["--dtype", "int8", "--gpus", "0"], "--dtype int8 is for CPUs: give --cpus 1"),
    (["--dtype", "bfloat16", "--gpus", "0"], "--dtype bfloat16 is for CPUs: give"),
    (["--dtype", "int8", "--calibrate-list", "none.lst"], "there is no list none.lst"),
    (["--dtype", "int8", "--calibrate-list", "world/few.lst"], "world/few.lst, which has 3: wanted at least 4"),
    (["--dtype", "int8"], "looked for the list data/tiny/train.lst and class folders"),
])
def test_wrong_use_is_told_in_a_line(world, flags, words):
    with pytest.raises(UsageError, match=words) as told:
        ilsvrc.main(["--phase", "val", "--weights", str(world / f"{CLS}_ep-0001.params"), "--data-root", str(world),
                     "--list", str(world / "all.lst"), "--test-scales", "48", *flags])
    assert "\n" not in str(told.value)


def test_cards_that_are_found_are_refused():
    with pytest.raises(UsageError, match="is for CPUs"):
        Network(None, None, None).on([mx.gpu(0)], "int8")


# The results that were measured


def test_the_results_lose_no_more_than_promised():
    results = {path.stem: json.loads(path.read_text()) for path in (ROOT / "docs" / "results" / "dtypes").iterdir()}
    assert len(results) == 6
    for name in {stem.rpartition("_")[0] for stem in results}:
        (_, plain), (_, bfloat16), (_, int8) = (main_score(results[f"{name}_{dtype}"]) for dtype in DTYPES)
        assert bfloat16 > plain - 0.3 and int8 > plain - 0.5


def test_a_table_of_types_needs_float32_first(monkeypatch):
    result = {"label": "a", "weights": "a.params", "arguments": {"dtype": "int8"}, "top1_error": 1, "images": 1,
              "images_per_second": 1}
    monkeypatch.setattr(pages, "results_of", lambda recipe: [("test", result)])
    with pytest.raises(ValueError, match="int8 does not follow one in float32"):
        pages.types("x")


@pytest.mark.skipif(not can_compute("bfloat16"), reason="bfloat16 needs AVX-512")
def test_the_measurement_says_what_share_of_the_matrix_product_is_reached(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("tools.benchmarks.beside_torch.PRODUCTS", (32,))
    out = tmp_path / "found.json"
    bench.main(["dtypes", "--width", "0.02", "--crop", "32", "--seconds", "0", "--format", "json", "--output",
                str(out)])
    found = json.loads(out.read_text())
    assert [item["what"].split()[2].rstrip(",") for item in found] == list(DTYPES)
    for item in found:
        assert "PyTorch, float32" in item["against"] and "% of the" in item["remark"] and item["ratio"] > 0
