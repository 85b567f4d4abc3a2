"""ONNX files: what is in them, and that they compute what MXNet computes."""
import collections
import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from reference import golden_parameters
from worlds import site_without

from ademxapp.backend import mx
from ademxapp.cli import UsageError
from ademxapp.data import transforms
from ademxapp.data.images import decode_rgb
from ademxapp.data.scenes import draw_scene, picture_rng
from ademxapp.data.transforms import FILTERS
from ademxapp.deploy.onnx_model import OnnxModel, export_onnx
from ademxapp.engine.mxnet.runtime import Predictor
from ademxapp.evaluation.dense import scores_at_image_size
from ademxapp.evaluation.windows import predict_in_windows
from ademxapp.symbol import (
    SymbolOptions,
    classification_symbol,
    network,
    output_stride,
    parse_label,
    segmentation_symbol,
)
from ademxapp.weights.description import Description, read_properties
from ademxapp.weights.parameters import Parameters, load_parameters, save_parameters
from iclass.classifier import Classifier, read_predictions
from issegm.datasets import DATASETS
from issegm.segmenter import Segmenter, of_any_size

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'ademxapp[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'ademxapp[onnx]'")

from ademxapp.deploy import onnx_graph  # noqa: E402
from tools import predict, weights  # noqa: E402

CLS, SEG = "imagenette128_rna-a1-w0.05_cls10", "camvid_rna-a1-w0.05_cls11_s8"
TOLERANCE = 1e-5  # of probabilities, as the issue of these files asks for


def build(label, segmenter=False, side=64, pixels="", **options):
    """Symbol, golden parameters and description of a label."""
    parsed = parse_label(label)
    options = SymbolOptions(bn_use_global_stats=True, **options)
    symbol = segmentation_symbol(label, options) if segmenter else classification_symbol(label, options)
    args, auxs = ({name: np.float32(value) for name, value in part.items()} for part in
                  golden_parameters(symbol, data=(1, 3, side, side)))
    settings = network(parsed.network).input
    return symbol, Parameters(args, auxs), Description(
        label, "segmentation" if segmenter else "classification", parsed.classes, output_stride(label), settings.mean,
        settings.std, settings.interpolation, side, pixels=pixels)


def require_same(path, symbol, parameters, images):
    """Compare what onnxruntime alone makes of a file's normalised inputs with MXNet's outputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    predictor, settings = Predictor(symbol, parameters, [mx.cpu()]), network("rna-a1").input
    colours = transforms.normalisation(settings.mean, settings.std)
    for image in images:
        data = np.ascontiguousarray(transforms.apply_colour_map(image, *colours)[None])
        got, wanted = session.run(["softmax_output"], {"data": data})[0], predictor(data)
        assert got.shape == wanted.shape and abs(got - wanted).max() <= TOLERANCE
        assert (got.argmax(1) == wanted.argmax(1)).all()
        assert wanted.std() > 100 * TOLERANCE  # else everything agrees


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


@pytest.mark.parametrize("label, segmenter, options", [
    ("x_rna-a1-w0.05_cls10", False, {}),
    ("x_rna-b-w0.05_cls10", False, {"pool_top_infer_style": "caffe"}),
    ("x_rna-b-w0.05_cls10", False, {"pool_top_infer_style": "full"}),
    ("x_rn-50-w0.05_cls10", False, {}),
    ("x_rna-b1-w0.05_cls10_s8", True, {}),
    ("x_rna-b-w0.05_cls10_s8", True, {}),  # pooling becomes dilated
    ("x_rna-b1-2s-w0.05_cls10_s8", True, {}),
    ("x_vgg-16-w0.05_cls10_s8", True, {}),
])
def test_networks_of_any_size_compute_what_mxnet_computes(tmp_path, label, segmenter, options):
    symbol, parameters, description = build(label, segmenter, **options)
    agreement = export_onnx(tmp_path / "net.onnx", symbol, parameters, description)
    assert agreement.largest <= TOLERANCE and agreement.decisions >= 3
    require_same(tmp_path / "net.onnx", symbol, parameters, [noise(64, 64), noise(96, 72)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rna-a", "rna-a1", "rna-c1", "rna-d", "rna-f", "rn-101", "rn-cifar110", "rnp-152",
                                  "inception-v4", "inception-resnet-v2", "vgg-16"])
@pytest.mark.parametrize("segmenter", [False, True], ids=["classifier", "segmenter"])
def test_all_networks(tmp_path, name, segmenter):
    if segmenter and not network(name).dense_features:
        pytest.skip(f"{name} only classifies")
    side = 224 if name == "vgg-16" else network(name).input.test_crop
    symbol, parameters, description = build(f"x_{name}-w0.05_cls10" + "_s8" * segmenter, segmenter, side)
    size = (side, side) if name == "vgg-16" and not segmenter else None
    export_onnx(tmp_path / "net.onnx", symbol, parameters, description, size)


@pytest.mark.slow
def test_the_released_network_at_full_width(tmp_path):
    symbol, parameters, description = build("ilsvrc-cls_rna-a1_cls1000", side=224)
    export_onnx(tmp_path / "net.onnx", symbol, parameters, description)


def test_a_network_of_one_size_is_not_exported_for_all(tmp_path):
    symbol, parameters, description = build("x_vgg-16-w0.05_cls10", side=224)
    with pytest.raises(ValueError, match="one size only: export it with --size 224"):
        export_onnx(tmp_path / "net.onnx", symbol, parameters, description)
    export_onnx(tmp_path / "net.onnx", symbol, parameters, description, (224, 224))


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_normalisation_inside(tmp_path, pixels):
    symbol, parameters, description = build(CLS, pixels=pixels)
    path, image = tmp_path / "net.onnx", noise(64, 80)
    export_onnx(path, symbol, parameters, description)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {"data": image.transpose(2, 0, 1)[None].astype(pixels)})[0]
    data = (image / 255 - np.array((0.485, 0.456, 0.406))) / np.array((0.229, 0.224, 0.225))
    wanted = Predictor(symbol, parameters, [mx.cpu()])(data.transpose(2, 0, 1)[None].astype(np.float32))
    assert abs(got - wanted).max() <= TOLERANCE
    # The same from normalised inputs, as the programs give them.
    assert abs(OnnxModel(path)(data.transpose(2, 0, 1)[None].astype(np.float32)) - wanted).max() <= TOLERANCE


@pytest.mark.data
def test_real_images(tmp_path, data_root):
    for label, segmenter, folder in ((CLS, False, "ilsvrc_samples"), (SEG, True, "camvid/val")):
        symbol, parameters, description = build(label, segmenter)
        export_onnx(tmp_path / "net.onnx", symbol, parameters, description)
        images = [decode_rgb(path.read_bytes(), path) for path in sorted((data_root / folder).glob("*.jp*g"))[:4]]
        require_same(tmp_path / "net.onnx", symbol, parameters, [image[:320, :352] for image in images])


def test_a_file_that_differs_from_mxnet_is_not_written(tmp_path, monkeypatch):
    symbol, parameters, description = build(CLS)
    path, compute = tmp_path / "net.onnx", OnnxModel.__call__
    monkeypatch.setattr(OnnxModel, "__call__", lambda *arguments: compute(*arguments) + np.arange(10) / 1e5)
    path.write_text("what was there")
    with pytest.raises(ValueError, match="differ from MXNet's by"):
        export_onnx(path, symbol, parameters, description)
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"] and path.read_text() == "what was there"


@pytest.mark.parametrize("label", [CLS, "x_rna-b1-w0.05_cls10", "x_rn-50-w0.05_cls10"])
def test_opencv_gives_batches_of_any_number_their_own_probabilities(tmp_path, label):
    """Where the shape of the last matrix was computed in the file, OpenCV's were all 1.0 from two images on."""
    symbol, parameters, description = build(label)
    export_onnx(tmp_path / "net.onnx", symbol, parameters, description)
    predictor = Predictor(symbol, parameters, [mx.cpu()])
    for count in (1, 3):
        net = cv2.dnn.readNetFromONNX(str(tmp_path / "net.onnx"))  # anew: OpenCV's fused sums keep their first size
        data = np.random.default_rng(count).normal(size=(count, 3, 64, 64)).astype(np.float32)
        net.setInput(data)
        assert abs(net.forward() - predictor(data)).max() <= TOLERANCE


@pytest.mark.parametrize("change, words", [
    (lambda nodes: nodes[-2].update(op="erf"), "^erf .node linear10. cannot be written as ONNX; there are rules for"),
    (lambda nodes: nodes[-1].update(op="LinearRegressionOutput"), "ends in LinearRegressionOutput softmax, wanted")])
def test_what_has_no_rule_is_refused_by_name(change, words):
    content = json.loads(build(CLS)[0].tojson())
    nodes = [node for node in content["nodes"] if node["name"] != "softmax_label"]
    content["heads"][0][0] = len(nodes) - 1
    change(nodes)
    with pytest.raises(ValueError, match=words):
        onnx_graph.add_scores(onnx_graph.Writer([], []), json.dumps({**content, "nodes": nodes}),
                              collections.defaultdict(lambda: np.zeros(1)), "data")


# The command


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder with golden checkpoints of CLS and SEG."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for label, segmenter in ((CLS, False), (SEG, True)):
        save_parameters(folder / f"{label}_ep-0001.params", build(label, segmenter)[1])
    return folder


def export(folder, label, *arguments):
    path = folder / f"{label}.onnx"
    weights.main(["export", str(folder / f"{label}_ep-0001.params"), "--out", str(path), *arguments])
    return path


def test_what_a_file_says(checkpoints, capsys):
    path = export(checkpoints, SEG, "--size", "60,90", "--normalise", "uint8")
    said = capsys.readouterr().out
    assert re.fullmatch(r".*camvid.*\.onnx: segmentation, 11 classes, inputs of 96x64 pixels; of 192 decisions "
                        r"compared with MXNet's, the largest difference of probabilities is \d\.\de-\d\d\n", said)
    model = onnx.load(path)
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used
    data, = model.graph.input  # parameters are constants: else nothing could be folded
    assert data.name == "data" and data.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_value for dim in data.type.tensor_type.shape.dim] == [1, 3, 64, 96]
    output, = model.graph.output
    assert output.name == "softmax_output"
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [1, 11, 8, 12]
    record = DATASETS["camvid"]
    assert {entry.key: json.loads(entry.value) for entry in model.metadata_props} == {
        "label": SEG, "task": "segmentation", "classes": 11, "stride": 8, "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225], "interpolation": "adaptive", "test_scale": 480,
        "class_names": list(record.class_names), "label_ids": list(range(11)),
        "palette": record.palette.tolist(), "same_size": True, "pixels": "uint8", "head": "2conv", "pool_style": "",
        "folders": [],
        "ignored_ids": [11], "crop_size": 0, "origin_size": 0, "recipe": {}, "versions": {}, "weights_sha256": ""}


def test_a_classifier_of_any_size(checkpoints):
    path = export(checkpoints, CLS, "--dynamic", "--test-scale", "144")
    model = onnx.load(path)
    shapes = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
              for value in (*model.graph.input, *model.graph.output)]
    assert shapes == [["batch", 3, "height", "width"], ["batch", 10]]
    description = OnnxModel(path).description
    assert description.test_scale == 144 and description.class_names[0] == "tench" and not description.palette
    assert description.interpolation in {"adaptive", *FILTERS}


def test_a_file_of_one_size_takes_any_number_of_inputs_of_it(checkpoints):
    model = OnnxModel(export(checkpoints, SEG, "--size", "64"))
    parameters = load_parameters(str(checkpoints / f"{SEG}_ep-0001.params"))
    data = np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)
    wanted = Predictor(build(SEG, True)[0], parameters, [mx.cpu()])(data)
    assert abs(model(data) - wanted).max() <= TOLERANCE
    with pytest.raises(ValueError, match="takes inputs of 64x64 pixels only, not 80x64: export it with --dynamic"):
        model(np.zeros((1, 3, 64, 80), np.float32))


@pytest.mark.parametrize("label, arguments, words", [
    (CLS, "", "--size --dynamic is required"),
    (CLS, "--size 64 --dynamic", "not allowed with"),
    (CLS, "--size 1,2,3", "3 numbers"),
    (CLS, "--dynamic --normalise int8", "int8"),
    (CLS, "--dynamic --model imagenette128_rna-a1-w0.05_cls11", "dataset imagenette128 has 10 classes"),
    (SEG, "--dynamic --model garden_rna-a1-w0.05_cls11_s8", "'garden' is not known.*--dataset-file"),
    (SEG, "--dynamic --model camvid_rna-a1-w0.05_cls11_s3", "stride 3"),
    (SEG, "--dynamic --pool-top-infer-style full", "for classifiers"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_wrong_use(checkpoints, label, arguments, words):
    with pytest.raises(UsageError, match=words):
        weights.main(["export", str(checkpoints / f"{label}_ep-0001.params"), "--out", str(checkpoints / "no.onnx"),
                      *arguments.split()])
    assert not (checkpoints / "no.onnx").exists()


@pytest.mark.parametrize("model, words", [("imagenette128_rna-b1-w0.05_cls10", "does not fit the network"),
                                          ("imagenette128_rna-a1-w0.1_cls10", "has shape .*, wanted")])
def test_weights_of_another_network(checkpoints, model, words):
    with pytest.raises(ValueError, match=words):
        export(checkpoints, CLS, "--size", "64", "--model", model)


@pytest.mark.parametrize("label, size", [(CLS, "160"), (SEG, "120,160")])
def test_real_photographs_have_mxnets_probabilities(checkpoints, data_root, label, size):
    paths = sorted((data_root / "ilsvrc_samples").glob("*.JPEG"))[:20]
    images = [image[:120 if label == SEG else 160, -160:] for image in
              (decode_rgb(path.read_bytes(), str(path)) for path in paths) if min(image.shape[:2]) >= 160][:8]
    assert len(images) == 8
    symbol, parameters, _ = build(label, label == SEG)
    require_same(export(checkpoints, label, "--size", size), symbol, parameters, images)


# Prediction without MXNet


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Odd ones: narrow, wide, small, grey, CMYK, with transparency."""
    folder = tmp_path_factory.mktemp("photographs")
    plain = Image.fromarray(draw_scene(picture_rng(0, "odd"), (60, 80))[0])
    plain.save(folder / "plain.png")
    plain.convert("L").save(folder / "grey.png")
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    plain.convert("RGBA").save(folder / "alpha.png")
    plain.resize((1, 40)).save(folder / "narrow.png")
    plain.resize((3000, 20)).save(folder / "wide.jpg")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return site_without(tmp_path_factory.mktemp("without") / "site", "mxnet")


def predict_without_mxnet(site, photographs, *arguments):
    """What predict.py prints in a Python without MXNet, and with a NumPy that MXNet could not use."""
    version = "numpy.__version__" if sys.version_info < (3, 9) else "'2.1.0'"  # there is no NumPy 2 for Python 3.8
    code = (f"import runpy, sys, numpy; numpy.__version__ = {version}; "
            "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')")
    done = subprocess.run([sys.executable, "-S", "-c", code, str(ROOT / "tools" / "predict.py"), str(photographs),
                           *arguments], capture_output=True, text=True, timeout=250,
                          env={**os.environ, "PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def close(maps):
    """Where the two best classes of an image's scores are too close to tell them apart."""
    scores = scores_at_image_size(maps)
    return np.diff(np.sort(scores, 0)[-2:], axis=0)[0] < 4 * TOLERANCE


def test_segmentation_without_mxnet_is_that_with_it(checkpoints, photographs, site, tmp_path):
    path, arguments = export(checkpoints, SEG, "--dynamic"), ["--test-scales", "64,96", "--test-flipping"]
    said = predict_without_mxnet(site, photographs, "--model", str(path), "--out", str(tmp_path / "onnx"), *arguments)
    assert len(said.splitlines()) == 6 and "plain.png: " in said
    predict.main([str(photographs), "--weights", str(checkpoints / f"{SEG}_ep-0001.params"), "--out",
                  str(tmp_path / "mxnet"), "--cpus", "1", *arguments])
    names = sorted(one.name for one in (tmp_path / "mxnet").glob("*.png"))
    assert names == sorted(one.name for one in (tmp_path / "onnx").glob("*.png")) and len(names) == 6
    known = OnnxModel(path)
    network = Segmenter.of_onnx(known, scales=(64, 96), flipping=True)
    for name in names:
        mine, theirs = (Image.open(tmp_path / folder / name) for folder in ("onnx", "mxnet"))
        assert mine.mode == theirs.mode == "P" and mine.getpalette() == theirs.getpalette()
        photograph = next(photographs.glob(f"{name[:-4]}.*"))
        unsure = close(network.score_maps(None, decode_rgb(photograph.read_bytes(), photograph)))
        assert unsure.mean() < 0.1
        np.testing.assert_array_equal(np.asarray(mine)[~unsure], np.asarray(theirs)[~unsure], err_msg=name)


@pytest.mark.parametrize("shape", [(1, 96, 104), (2, 48, 120), (1, 64, 80), (1, 32, 40)])
def test_a_file_of_one_size_takes_inputs_of_any(checkpoints, shape):
    """Larger ones in overlapping windows, as MXNet does with them; smaller ones with the mean colour beside them."""
    predict_any = of_any_size(OnnxModel(export(checkpoints, SEG, "--size", "64,80")))
    parameters = load_parameters(str(checkpoints / f"{SEG}_ep-0001.params"))
    count, height, width = shape
    data = np.random.default_rng(0).normal(size=(count, 3, height, width)).astype(np.float32)
    padded = np.zeros((count, 3, max(64, height), max(80, width)), np.float32)
    padded[:, :, :height, :width] = data
    wanted = predict_in_windows(Predictor(build(SEG, True)[0], parameters, [mx.cpu()]), padded, (64, 80), 8)
    got = predict_any(data)
    assert got.shape == (count, 11, height // 8, width // 8)
    assert abs(got - wanted[:, :, :height // 8, :width // 8]).max() <= TOLERANCE


def test_segmentation_in_windows_is_mxnets(checkpoints, photographs, tmp_path):
    arguments = [str(photographs / "plain.png"), "--test-scales", "120", "--test-flipping", "--out"]
    fixed, dynamic = export(checkpoints, SEG, "--size", "64"), tmp_path / "dynamic.onnx"
    weights.main(["export", str(checkpoints / f"{SEG}_ep-0001.params"), "--dynamic", "--out", str(dynamic)])
    predict.main([*arguments, str(tmp_path / "fixed"), "--model", str(fixed)])
    predict.main([*arguments, str(tmp_path / "dynamic"), "--model", str(dynamic), "--window", "60"])
    predict.main([*arguments, str(tmp_path / "mxnet"), "--weights", str(checkpoints / f"{SEG}_ep-0001.params"),
                  "--cpus", "1", "--window", "64"])
    network = Segmenter.of_onnx(OnnxModel(dynamic), scales=(120,), flipping=True, window=64)
    clear = ~close(network.score_maps(None, np.asarray(Image.open(photographs / "plain.png"))))
    assert clear.mean() > 0.9
    wanted = np.asarray(Image.open(tmp_path / "mxnet" / "plain.png"))
    for name in ("fixed", "dynamic"):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name / "plain.png"))[clear], wanted[clear])


def test_a_file_s_own_scale_is_that_of_its_dataset(checkpoints):
    assert Segmenter.load(export(checkpoints, SEG, "--size", "64")).test.scales == (480,)
    assert Classifier.load(export(checkpoints, CLS, "--size", "64")).test.scales == (64,)


def test_classification_without_mxnet_is_that_with_it(checkpoints, photographs, site, tmp_path):
    path = export(checkpoints, CLS, "--size", "64", "--normalise", "float32")
    said = predict_without_mxnet(site, photographs, "--model", str(path), "--out", str(tmp_path / "onnx"), "--top", "1",
                                 "--test-flipping")
    assert len(said.splitlines()) == 12 and "plain.png\n" in said
    predict.main([str(photographs), "--weights", str(checkpoints / f"{CLS}_ep-0001.params"), "--out",
                  str(tmp_path / "mxnet"), "--cpus", "1", "--test-scales", "64", "--test-flipping"])
    mine, theirs = (read_predictions(str(tmp_path / folder / "predictions.tsv")) for folder in ("onnx", "mxnet"))
    assert [row[0] for row in mine] == [row[0] for row in theirs] and len(mine) == 6
    for one, other in zip(mine, theirs):
        assert [index for index, _ in one[3]] == [index for index, _ in other[3]]
        assert [value for _, value in one[3]] == pytest.approx([value for _, value in other[3]], abs=TOLERANCE)


def test_arguments_that_an_onnx_file_leaves_no_room_for(checkpoints, photographs, tmp_path):
    path = str(export(checkpoints, CLS, "--size", "64"))
    with pytest.raises(UsageError, match="--cpus, --dataset with --model"):
        predict.main([str(photographs), "--model", path, "--cpus", "1", "--dataset", "voc"])
    with pytest.raises(UsageError, match="not allowed with"):
        predict.main([str(photographs), "--model", path, "--weights", path])
    with pytest.raises(UsageError, match="--window is for segmentation|--window with --model"):
        predict.main([str(photographs), "--model", path, "--window", "64", "--out", str(tmp_path / "out")])
    with pytest.raises(ValueError, match="takes inputs of 64x64 pixels only, not 80x80"):
        predict.main([str(photographs), "--model", path, "--test-scales", "80", "--out", str(tmp_path / "out")])


# Files that are none


def test_a_file_without_description_is_refused(tmp_path, checkpoints):
    path = export(checkpoints, CLS, "--size", "64")
    model = onnx.load(path)
    del model.metadata_props[3:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ValueError, match="bare.onnx does not say .* tools/weights.py export"):
        OnnxModel(tmp_path / "bare.onnx")


@pytest.mark.parametrize("field, value", [("classes", "0"), ("mean", "[1, 2]"), ("stride", '"8"'), ("task", "3"),
                                          ("label", "no JSON"), ("palette", "7")])
def test_a_description_that_is_wrong_is_refused(field, value):
    good = build(SEG, True)[2].properties()
    assert read_properties(good, "a.onnx").label == SEG
    with pytest.raises(ValueError, match="a.onnx does not say"):
        read_properties({**good, field: value}, "a.onnx")


def test_what_is_no_onnx_file_is_said_in_one_line(tmp_path, checkpoints):
    content = export(checkpoints, CLS, "--size", "64").read_bytes()
    for name, part in (("empty", b""), ("text", b"no network"), ("half", content[:len(content) // 2])):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(part)
        with pytest.raises(ValueError, match=f"{name}.onnx (cannot be read by onnxruntime|does not say)") as caught:
            OnnxModel(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="missing.onnx"):
        OnnxModel(tmp_path / "missing.onnx")


def test_without_the_packages_the_command_says_what_to_install(checkpoints):
    code = ("import sys; sys.modules['onnxruntime'] = None; from ademxapp.cli import run; run('tools.weights')")
    done = subprocess.run([sys.executable, "-c", code, "export", str(checkpoints / f"{CLS}_ep-0001.params"),
                           "--dynamic", "--out", "x.onnx"], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "onnxruntime" in done.stderr and "pip install 'ademxapp[onnx]'" in done.stderr
