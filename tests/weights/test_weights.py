"""Weights that travel: MXNet's files without MXNet, other formats and back, the released files and their mirror."""
import functools
import http.server
import json
import os
import shlex
import struct
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

from ademxapp.backend import mx
from ademxapp.cli import UsageError, make_parser
from ademxapp.files import digest
from ademxapp.symbol import known_networks, parse_label
from ademxapp.symbol.heads import TOP
from ademxapp.weights.describe import network_shapes, problems
from ademxapp.weights.description import description_path, kept_description, write_description
from ademxapp.weights.formats import FORMATS, from_torch, read_weights, same_weights, to_torch, write_weights
from ademxapp.weights.parameters import Parameters, initial_parameters, load_parameters, read_params, write_params
from ademxapp.weights.released import BY_FILE, CLASSIFIER, RELEASED, STREETS, fetch, shipped
from iclass.ilsvrc import ClassificationSettings
from issegm.settings import SegmentationSettings
from tools import weights as tool

LIBRARIES = {".safetensors": "safetensors", ".pth": "torch"}
TYPES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
SMALL = "demo_rna-a1-w0.02_cls5_ep-0001.params"


def network_weights(name, head=None):
    """Weights of a file's network, none of them as another: what `read_weights` would give."""
    label = parse_label(name)
    top = {f"linear{label.classes}_weight": np.zeros((1, 1, 1, 1) if label.stride else (1, 1))}
    if head == "2conv":
        top["conv6a_weight"] = np.zeros((1, 1, 1, 1))
    shapes = network_shapes(name, Parameters(top, {}))
    values = initial_parameters({**shapes[0], **shapes[1]}, 3)
    rng = np.random.default_rng(3)
    return {f"{kind}:{key}": values[key] + rng.normal(0, 0.01, values[key].shape).astype(np.float32)
            for kind, part in zip(("arg", "aux"), shapes) for key in part}


def need(extension):
    if extension in LIBRARIES:
        pytest.importorskip(LIBRARIES[extension])


@pytest.fixture
def small(tmp_path):
    """A small network's weights: (path of its .params, weights)."""
    weights = network_weights(SMALL)
    write_params(tmp_path / SMALL, weights)
    return tmp_path / SMALL, weights


def equal(arrays, loaded):
    return list(arrays) == list(loaded) and all(
        arrays[key].dtype == loaded[key].dtype and np.array_equal(arrays[key], loaded[key].asnumpy())
        for key in arrays)


# .params


@pytest.fixture
def various():
    """Arrays of every type and of one to five dimensions."""
    rng = np.random.default_rng(0)
    return {f"arg:{name}_{len(shape)}": (100 * rng.normal(size=shape)).astype(name)
            for name in TYPES for shape in [(3,), (2, 5), (1, 2, 3), (4, 3, 2, 1), (1, 1, 2, 1, 1)]}


def test_params_are_read_as_mxnet_reads_them(various, tmp_path):
    path = str(tmp_path / "x.params")
    mx.nd.save(path, {name: mx.nd.array(array, dtype=array.dtype) for name, array in various.items()})
    assert equal(read_params(path), mx.nd.load(path))


def test_params_are_written_as_mxnet_writes_them(various, tmp_path):
    write_params(tmp_path / "ours.params", various)
    assert equal(various, mx.nd.load(str(tmp_path / "ours.params")))
    mx.nd.save(str(tmp_path / "theirs.params"),
               {name: mx.nd.array(array, dtype=array.dtype) for name, array in various.items()})
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "theirs.params").read_bytes()


def old_file(arrays, version):
    """The bytes of a .params file as MXNet wrote it before it had version 2 (1), or any version (0)."""
    parts = [struct.pack("<3Q", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts += [struct.pack("<I", 0xF993FAC8)] if version else []
        parts += [struct.pack(f"<I{array.ndim}{'q' if version else 'I'}", array.ndim, *array.shape),
                  struct.pack("<3i", 1, 0, TYPES.index(array.dtype.name)), array.tobytes()]
    parts += [struct.pack("<Q", len(arrays))] + [struct.pack("<Q", len(key)) + key.encode() for key in arrays]
    return b"".join(parts)


@pytest.mark.parametrize("version", [0, 1])
def test_files_of_older_mxnets_are_read_as_mxnet_reads_them(various, tmp_path, version):
    path = tmp_path / "x.params"
    path.write_bytes(old_file(various, version))
    assert equal(various, mx.nd.load(str(path)))
    assert equal(read_params(path), mx.nd.load(str(path)))


def test_a_program_reads_old_files_too(small):
    path, weights = small
    path.write_bytes(old_file(weights, 0))
    loaded = load_parameters(path)
    assert all(np.array_equal(loaded.all[key[4:]], array) for key, array in weights.items())
    assert len(loaded.args) + len(loaded.auxs) == len(weights)


def put(form, start, *numbers):
    """A change of a file: numbers written at a place."""
    def change(data):
        struct.pack_into(form, data, start, *numbers)
    return change


@pytest.mark.parametrize("change, words", [
    (put("<Q", 0, 0x113), "its first bytes are others"),
    (put("<Q", 16, 2 ** 60), "array 3 of 1152921504606846976: "),
    (put("<i", 28, 1), "array 1 of 2: it is sparse"),
    (put("<I", 32, 2 ** 31), "array 1 of 2: it has 2147483648 dimensions"),
    (put("<q", 36, 2 ** 40), "array 1 of 2: 13,194,139,533,312 bytes are announced where"),
    (put("<q", 36, -2), r"array 1 of 2: its shape is \(-2, 3\)"),
    (put("<i", 60, 12), "its numbers are of type 12, where 0, 1, 2, 3, 4, 5, 6, 7 can be read"),
    (lambda data: data.extend(b"more"), "4 bytes too many"),
    (lambda data: data.__delitem__(slice(-1, None)), "5 bytes are announced where 4 are left"),
    (lambda data: data.__delitem__(slice(0, None)), "24 bytes are announced where 0 are left"),
    (lambda data: data.__setitem__(slice(-1, None), b"x"), "a name stands there twice"),
    (lambda data: data.__setitem__(slice(-1, None), b"\xff"), "a name is no UTF-8"),
])
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, words):
    path = tmp_path / "x.params"
    write_params(path, {"arg:x": np.ones((2, 3), np.float32), "arg:y": np.ones(4, np.float32)})
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"x.params is no whole .params file of MXNet .*{words}"):
        read_params(path)


@pytest.mark.parametrize("array", [np.float32(1).reshape(()), np.zeros((2, 0)), np.zeros(2, np.uint16)])
def test_what_mxnet_cannot_hold_is_not_written(tmp_path, array):
    with pytest.raises(ValueError, match="arg:x cannot be stored in .*x.params"):
        write_params(tmp_path / "x.params", {"arg:x": array})
    assert not os.listdir(tmp_path)


def mutate(folder, count, seed):
    """(read, refused) of damaged files, by a process of its own that has 1 GiB and, for each, 2 s."""
    rng = np.random.default_rng(1)
    arrays = {f"{kind}:layer{i}_{kind}": rng.normal(size=(4, 3, 3, i + 1)).astype(np.float32)
              for kind in ("arg", "aux") for i in range(3)}
    write_params(folder / "2.params", arrays)
    for version in (0, 1):
        (folder / f"{version}.params").write_bytes(old_file(arrays, version))
    done = subprocess.run([sys.executable, "tests/helpers/mutated_params.py", str(folder), str(count), str(seed)],
                          cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(map(int, done.stdout.split()))


def test_damaged_files_are_read_or_refused(tmp_path):
    read, refused = mutate(tmp_path, 360, 0)
    assert read + refused == 360 and read > 20 and refused > 150


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused(tmp_path):
    assert sum(mutate(tmp_path, 2000, 1)) == 2000


# Formats


@pytest.mark.parametrize("extension", [extension for extension in FORMATS if extension != ".params"])
@pytest.mark.parametrize("label, head", [
    ("ilsvrc-cls_rna-a-w0.02_cls1000", None), ("ilsvrc-cls_rna-a1-w0.02_cls1000", None),
    ("voc_rna-a1-w0.02_cls21_s8", "2conv"), ("voc_rna-a1-w0.02_cls21_s8_coco", "2conv"),
    ("cityscapes_rna-a1-w0.02_cls19_s8", "2conv"), ("ade20k_rna-a1-w0.02_cls150_s8", "2conv")])
def test_round_trips_are_exact_for_the_released_networks(tmp_path, label, head, extension):
    need(extension)
    weights = network_weights(label, head)
    weights["arg:conv1a_weight"].flat[:4] = np.nan, -np.inf, -0.0, 1e-45  # bits, not values, are compared
    source, there, back = (str(tmp_path / name) for name in ("a.params", f"a{extension}", "b.params"))
    write_params(source, weights)
    tool.main(["convert", source, there])
    tool.main(["convert", there, back])
    assert digest(source, "md5") == digest(back, "md5")
    assert same_weights(read_weights(there), weights)


def test_the_released_networks_are_those_of_the_round_trips():
    networks = {(label.partition("_")[0], released.head) for released in RELEASED for label in [released.label]}
    assert networks == {("ilsvrc-cls", None), ("voc", "2conv"), ("cityscapes", "2conv"), ("ade20k", "2conv")}


@pytest.mark.parametrize("name", known_networks())
def test_every_network_has_names_in_the_pytorch_layout(name):
    width = "-w0.02" if not name.startswith("inception") else ""
    label = f"x_{name}{width}_cls7"
    shapes = network_shapes(label, Parameters({"linear7_weight": np.zeros((7, 1))}, {}))
    weights = {f"{kind}:{key}": np.float32(i) for i, (kind, key) in enumerate(
        (kind, key) for kind, part in zip(("arg", "aux"), shapes) for key in part)}
    state = to_torch(weights)
    assert len(state) == len(weights)
    assert list(from_torch(state).items()) == list(weights.items())


def test_names_are_those_of_weakly_supervised_segmentation():
    names = {"arg:conv1a_weight": "conv1a.weight", "arg:res2a_branch1_weight": "b2.conv_branch1.weight",
             "arg:bn2a_branch2a_gamma": "b2.bn_branch2a.weight", "arg:bn2a_branch2a_beta": "b2.bn_branch2a.bias",
             "aux:bn2a_branch2b1_moving_mean": "b2.bn_branch2b1.running_mean",
             "aux:bn4b5_branch2b1_moving_var": "b4_5.bn_branch2b1.running_var",
             "arg:res2b1_branch2b1_weight": "b2_1.conv_branch2b1.weight",
             "arg:res6a_branch2b2_weight": "b6.conv_branch2b2.weight", "arg:bn7_gamma": "bn7.weight",
             "aux:bn7_moving_var": "bn7.running_var", "arg:linear1000_bias": "linear1000.bias",
             "arg:conv6a_weight": "conv6a.weight"}
    assert list(to_torch(dict.fromkeys(names))) == list(names.values())


@pytest.mark.parametrize("key", ["arg:x", "arg:fc_mask", "aux:conv1a_weight", "arg:bn7_moving_mean", "arg:a.b_weight"])
def test_other_names_have_none_in_the_pytorch_layout(key):
    with pytest.raises(ValueError, match=f"{key} has no name in the PyTorch layout"):
        to_torch({key: None})


@pytest.mark.parametrize("name", ["conv1a", "b2.x.weight", "module.conv1a.weight", "conv1a.running_max", ".weight"])
def test_other_state_dicts_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is no name of the PyTorch layout"):
        from_torch({name: None})


@pytest.mark.parametrize("extension", FORMATS)
def test_damaged_files_of_every_format_are_refused(small, tmp_path, extension):
    need(extension)
    path = tmp_path / f"x{extension}"
    write_weights(str(path), small[1])
    whole = path.read_bytes()
    for data in (b"", b"nothing of the kind", whole[:len(whole) // 2], whole[:-3], b"\x80" * 8 + whole[8:]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"x{extension} is no whole") as caught:
            read_weights(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", FORMATS)
def test_files_have_the_permissions_of_new_files(small, tmp_path, extension):
    need(extension)
    write_weights(str(tmp_path / f"x{extension}"), small[1])
    (tmp_path / "new").touch()
    assert os.stat(tmp_path / f"x{extension}").st_mode == os.stat(tmp_path / "new").st_mode


def test_flipped_bits_in_npz_are_found(small, tmp_path):
    write_weights(str(tmp_path / "x.npz"), small[1])
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(ValueError, match="is no whole .npz file"):
        read_weights(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("save, words", [
    (lambda path: np.savez_compressed(path, **{"arg:x": np.zeros(10 ** 6)}), "arg:x.npy is compressed"),
    (lambda path: np.savez(path, **{"arg:x": np.array([{}])}), "arg:x.npy announces .* of object"),
    (lambda path: np.savez(path, x=np.zeros(2)), "entry 'x' is neither arg:… nor aux:…"),
    (lambda path: np.savez(path), "names no parameter")])
def test_npz_of_other_kinds_are_refused(tmp_path, save, words):
    save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=words):
        read_weights(str(tmp_path / "x.npz"))


def test_npz_with_columns_first(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.savez(tmp_path / "x.npz", **{"arg:x": array})
    assert np.array_equal(read_weights(str(tmp_path / "x.npz"))["arg:x"], array)


def test_conversion_needs_no_mxnet(small, tmp_path):
    code = ("import sys; sys.modules['mxnet'] = None; from tools.weights import main; "
            f"main(['convert', {str(small[0])!r}, {str(tmp_path / 'x.npz')!r}])")
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert same_weights(read_weights(str(tmp_path / "x.npz")), small[1])


@pytest.mark.parametrize("options, words", [
    (["{small}", "x.onnx"], "x.onnx: the extension must be one of .params, .npz"),
    (["{small}", "{small}"], "is there already: --overwrite"),
    (["nowhere.params", "x.npz"], "there is no file nowhere.params")])
def test_wrong_use_of_convert(small, options, words):
    with pytest.raises(UsageError, match=words):
        tool.main(["convert", *(option.format(small=small[0]) for option in options)])


def test_what_fails_leaves_what_was_there(small, tmp_path):
    need(".pth")
    target = tmp_path / "x.pth"
    target.write_text("old")
    write_params(small[0], {"arg:unknown": np.ones(1, np.float32)})
    with pytest.raises(ValueError, match="arg:unknown has no name in the PyTorch layout"):
        tool.main(["convert", str(small[0]), str(target), "--overwrite"])
    assert target.read_text() == "old" and sorted(os.listdir(tmp_path)) == [SMALL, "x.pth"]


def test_a_library_that_is_not_there_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        tool.main(["convert", str(small[0]), str(tmp_path / "x.safetensors")])


def test_half_keeps_weights_in_16_bits_and_statistics_as_they_are(small, tmp_path, capsys):
    path, weights = small
    tool.main(["convert", str(path), str(tmp_path / "half.params"), "--half"])
    kept = read_weights(str(tmp_path / "half.params"))
    assert list(kept) == list(weights)
    for name, value in kept.items():
        assert value.dtype == (np.float16 if name.startswith("arg:") else np.float32)
        np.testing.assert_array_equal(value, weights[name].astype(value.dtype))
    assert all(value.dtype == np.float32 for value in load_parameters(str(tmp_path / "half.params")).all.values())
    write_params(path, {**weights, "arg:conv1a_weight": weights["arg:conv1a_weight"] * 1e8})
    with pytest.raises(ValueError, match="conv1a_weight has numbers beyond those of 16 bits: convert without --half"):
        tool.main(["convert", str(path), str(tmp_path / "large.params"), "--half"])
    write_params(path, {**weights, "arg:conv1a_weight": weights["arg:conv1a_weight"] * np.nan})
    tool.main(["convert", str(path), str(tmp_path / "broken.params")])
    assert "conv1a_weight has numbers that are not finite, copied as they are" in capsys.readouterr().out
    assert not (tmp_path / "large.params").exists()


def test_record_keeps_the_scores_of_a_test_of_these_weights(small, tmp_path, capsys):
    path = str(small[0])
    result = tmp_path / "result.json"
    found = {"weights_sha256": [digest(path)], "images": 7, "split": "val", "top1_error": 12.344, "top5_error": 1.5,
             "arguments": {"test_scales": [128], "test_flipping": True}}
    result.write_text(json.dumps(found))
    with pytest.raises(UsageError, match="has no description of it beside it"):
        tool.main(["record", path, "--result", str(result)])
    write_description(path, {
        "label": "demo_rna-a1-w0.02_cls5", "task": "classification", "classes": 5, "stride": 32, "mean": [0.5] * 3,
        "std": [0.2] * 3, "interpolation": "bicubic", "test_scale": 144, "epoch": 3,
        "recipe": {"data_root": str(tmp_path / "demo"), "weights": "output/x.params", "seed": 0}})
    tool.main(["record", path, "--result", str(result), "--made-by", "hand", "--terms", "none"])
    about = json.loads(open(description_path(path)).read())
    assert about["recipe"] == {"data_root": "…/demo", "weights": "output/x.params", "seed": 0} and about["epoch"] == 3
    assert about["top1_error"] == 12.344 and kept_description(path)[0].test_scale == 128
    capsys.readouterr()
    tool.main(["list", "--folder", str(tmp_path)])
    out = capsys.readouterr().out
    assert "top-1 error 12.34, top-5 error 1.50" in out
    assert "tested on: 7 images of val, at 128 pixels, with mirror images" in out
    assert "made by: hand" in out and "terms: none" in out
    result.write_text(json.dumps({**found, "weights_sha256": ["0" * 64]}))
    with pytest.raises(UsageError, match="result.json is a test of other weights than"):
        tool.main(["record", path, "--result", str(result)])


# Those that come with the program


@pytest.mark.parametrize("name", [CLASSIFIER, STREETS])
def test_shipped_weights_are_whole_and_say_what_they_are(name):
    path = shipped(name)
    assert path is not None and problems(path) == []
    known, note = kept_description(path)
    assert note == "" and len(known.class_names) == known.classes and known.test_scale and known.versions
    about = json.loads(open(description_path(path)).read())
    assert "CamVid" in about["terms"] or "ImageNet" in about["terms"]
    assert about["made_by"] and about["tested"]
    assert about["mean_iou"] > 50 if name == STREETS else about["top1_error"] < 15
    assert not any(isinstance(value, str) and os.path.isabs(value) for value in about["recipe"].values())


def test_shipped_weights_are_small_enough_for_a_clone():
    assert sum(os.path.getsize(shipped(name)) for name in (CLASSIFIER, STREETS)) < 16e6


# The released files


def test_the_registry_and_the_drivers_agree(tmp_path, monkeypatch):
    assert len({released.md5 for released in RELEASED}) == len(BY_FILE) == 6
    monkeypatch.chdir(tmp_path)
    os.mkdir("models")
    for released in RELEASED:
        (tmp_path / "models" / released.file).touch()
        _, program, *arguments = shlex.split(released.command)
        settings = {"iclass/ilsvrc.py": ClassificationSettings, "issegm/voc.py": SegmentationSettings}[program]
        args = make_parser("", settings).parse_args(arguments)
        assert args.weights == f"models/{released.file}"


def test_list_prints_the_registry(capsys):
    tool.main(["list"])
    out = capsys.readouterr().out
    assert all(released.file in out and released.md5 in out and released.command in out for released in RELEASED)
    assert "top-1 error 19.54, top-5 error 4.75" in out and "(0.485, 0.456, 0.406)" in out


def test_list_shows_what_lies_in_a_folder_as_its_description_says(small, tmp_path, capsys):
    values = {"label": "demo_rna-a1-w0.02_cls5", "task": "segmentation", "classes": 5, "stride": 8, "head": "1conv",
              "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2], "interpolation": "bicubic", "test_scale": 144,
              "mean_iou": 71.234, "pixel_acc": 90.1}
    write_description(str(small[0]), values)
    (tmp_path / "mine.params").write_bytes(b"nothing")
    tool.main(["list", "--folder", str(tmp_path)])
    out = capsys.readouterr().out
    line, = (line for line in out.splitlines() if line.startswith(SMALL))
    assert line.split() == [SMALL, digest(small[0], "md5"), "5", "8", "1conv",
                            *"pixel accuracy 90.10, mean IoU 71.23".split()]
    assert f"images of 144 pixels: {SMALL}" in out and "mine.params: nothing tells which network this is" in out
    tool.main(["list", "--folder", str(tmp_path), "--format", "json"])
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 8 and records[6]["problem"] if records[6]["file"] == "mine.params" else records[7]["problem"]


def test_check_finds_numbers_that_no_network_has(small, capsys):
    path, weights = small
    names = [key for key in weights if key.endswith("_moving_var")][:2]
    weights[names[0]][0], weights[names[1]][1] = -0.25, np.inf
    write_params(path, weights)
    assert tool.main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert f"{names[0][4:]} has variances below 0, down to -0.25" in out
    assert f"{names[1][4:]} has numbers that are not finite" in out


def test_convert_is_not_refused_where_numpy_is_too_new_for_mxnet(small, tmp_path):
    code = ("import runpy, sys, numpy; numpy.__version__ = '2.1.0'; sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "tools" / "weights.py"), "convert", str(small[0]),
                           str(tmp_path / "x.npz")], capture_output=True, text=True)
    assert done.returncode == 0 and "read back and compared" in done.stdout, done.stderr


def test_check_says_what_lies_there(small, tmp_path, capsys):
    path, weights = small
    assert tool.main(["check", "--folder", str(tmp_path)]) is None
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 7 and all(line.endswith("not there") for line in out[:6])
    assert out[6] == f"{path}: right: the parameters of its network"
    wrong = {key: array for key, array in weights.items() if not TOP.fullmatch(key[4:])}
    wrong["arg:conv1a_weight"] = np.full((1, 3, 5, 5), np.nan, np.float32)
    write_params(path, {**wrong, "aux:more_moving_var": np.ones(2, np.float32)})
    (tmp_path / RELEASED[1].file).write_text("nothing")
    assert tool.main(["check", "--folder", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "conv1a_weight has shape 1x3x5x5, wanted 1x3x3x3" in out and "linear5_weight is missing" in out
    assert "more_moving_var is not in the network" in out and "and 1 more" in out
    line, = (line for line in out.splitlines() if RELEASED[1].file in line)
    assert f"{RELEASED[1].file}: its MD5 is " in line and "; is no whole .params file of MXNet" in line


@pytest.mark.parametrize("extension", FORMATS)
def test_check_reads_every_format(small, tmp_path, capsys, extension):
    need(extension)
    path = str(tmp_path / f"voc_rna-a1-w0.02_cls21_s8{extension}")
    write_weights(path, network_weights(path, "2conv"))
    assert tool.main(["check", path]) is None
    assert "right: the parameters" in capsys.readouterr().out


def test_a_wrong_md5_and_a_missing_file_are_said(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BY_FILE, SMALL, replace(RELEASED[0], label="demo_rna-a1-w0.02_cls5"))
    assert tool.main(["check", str(small[0]), str(tmp_path / "none.params")]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"its MD5 is {digest(small[0], 'md5')}, the released file's {RELEASED[0].md5}")
    assert "none.params" in second and "No such file" in second


# A mirror


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves `server.file`, from the byte that is asked for on if `server.resumes`; ends after `server.limit` bytes."""

    def do_GET(self):
        server, start = self.server, 0
        server.asked.append((self.path, self.headers.get("Range")))
        if self.path != f"/m/{SMALL}":
            return self.send_error(404)
        if server.resumes and self.headers.get("Range"):
            start = int(self.headers["Range"][len("bytes="):-1])
            if start >= len(server.file):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(server.file) - start))
        self.end_headers()
        self.wfile.write(server.file[start:][:server.limit])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(small, monkeypatch):
    """A server that has the small network's file, whose MD5 is known."""
    monkeypatch.setitem(BY_FILE, SMALL, replace(RELEASED[0], md5=digest(small[0], "md5")))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.file, server.resumes, server.limit, server.asked = small[0].read_bytes(), True, None, []
    server.url = f"http://127.0.0.1:{server.server_port}/m/"
    thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_missing_file_is_fetched_and_checked(mirror, tmp_path, capsys):
    path = tmp_path / "new" / SMALL
    for _ in range(2):  # the second time it is there
        assert tool.main(["check", str(path), "--url", mirror.url]) is None
        assert "right: MD5 and the parameters of its network" in capsys.readouterr().out
    assert path.read_bytes() == mirror.file and os.listdir(path.parent) == [SMALL]
    assert mirror.asked == [(f"/m/{SMALL}", None)]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_transfer_that_broke_off_is_taken_up_again(mirror, tmp_path, resumes):
    mirror.resumes, mirror.limit = resumes, 5000
    get = functools.partial(fetch, mirror.url, SMALL, str(tmp_path / "new"), BY_FILE[SMALL].md5)
    with pytest.raises(OSError, match=f"broke off after 5,000 of {len(mirror.file):,} bytes; the same command"):
        get()
    assert os.listdir(tmp_path / "new") == [SMALL + ".part"]
    mirror.limit = None
    get()
    assert (tmp_path / "new" / SMALL).read_bytes() == mirror.file and os.listdir(tmp_path / "new") == [SMALL]
    assert mirror.asked[-1][1] == "bytes=5000-"


def test_a_whole_part_is_not_fetched_again(mirror, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / (SMALL + ".part")).write_bytes(mirror.file)
    fetch(mirror.url, SMALL, str(tmp_path / "new"), BY_FILE[SMALL].md5)
    assert (tmp_path / "new" / SMALL).read_bytes() == mirror.file


def test_a_file_with_another_md5_is_removed(mirror, tmp_path):
    mirror.file = mirror.file[:-1] + b"x"
    with pytest.raises(ValueError, match="has MD5 [0-9a-f]{32}, wanted [0-9a-f]{32}: removed; try another mirror"):
        tool.main(["check", str(tmp_path / "new" / SMALL), "--url", mirror.url])
    assert not os.listdir(tmp_path / "new")


@pytest.mark.parametrize("url, name, words", [
    ("file:///", SMALL, "is no address: wanted http"),
    ("{mirror}/other", SMALL, "the server answers 404 Not Found"),
    ("http://127.0.0.1:1", SMALL, "Connection refused"),
    ("{mirror}", "my_rna-a1_cls5_ep-0001.params", "is none of the released files")])
def test_mirrors_that_cannot_serve(mirror, tmp_path, url, name, words):
    with pytest.raises((ValueError, OSError), match=words):
        tool.main(["check", str(tmp_path / "new" / name), "--url", url.format(mirror=mirror.url)])
    assert not os.path.exists(tmp_path / "new" / name)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("released", RELEASED, ids=lambda released: released.label)
def test_released_networks_of_full_width_travel_bit_for_bit(tmp_path, released, extension):
    need(extension)
    weights = network_weights(released.label, released.head)
    assert weights["arg:conv1a_weight"].shape == (64, 3, 3, 3)
    path = str(tmp_path / f"{released.label}{extension}")
    write_weights(path, weights)
    assert same_weights(read_weights(path), weights)
    os.unlink(path)
