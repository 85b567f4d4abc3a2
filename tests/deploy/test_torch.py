"""The PyTorch module beside MXNet, on real images; PyTorch's weights in the drivers' files and back."""
import ast
from pathlib import Path

import numpy as np
import pytest

from ademxapp.backend import mx
from ademxapp.data.images import decode_rgb
from ademxapp.engine.mxnet.runtime import Predictor
from ademxapp.symbol import SymbolOptions, classification_symbol, segmentation_symbol
from ademxapp.symbol.rna import LEVELS, NOTATIONS
from ademxapp.weights.formats import read_weights, write_weights
from ademxapp.weights.parameters import load_parameters, parameter_shapes, require_exact, write_params
from tools import weights as tool

torch = pytest.importorskip("torch")
torch_rna = pytest.importorskip("ademxapp.deploy.torch_rna")

CLASSES, WIDTH = 21, 0.0625
TOLERANCE = 1e-5  # of probabilities
DECISION = 1.5  # deviation of the scores


@pytest.fixture(scope="module")
def images(data_root):
    """Crops of real images (8, 3, 224, 224), RGB / 255."""
    paths = sorted((data_root / "ilsvrc_samples").glob("*.[jJ]*"))[:40]
    decoded = [decode_rgb(path.read_bytes(), str(path)) for path in paths]
    crops = [image[:224, -224:] for image in decoded if min(image.shape[:2]) >= 224][:8]
    return torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32) / 255)


def inputs(images, side):
    """What networks take: normalised crops of a side."""
    return (images[:, :, :side, :side] - torch_rna.MEAN) / torch_rna.STD


def trained(images, name, stride=None, head=None, width=WIDTH, pool_style=None, two_scales=False):
    """A module as training leaves one: statistics of images, units that add a little to their input, clear decisions.

    Rounding would not do for `TOLERANCE` in a network as it starts, whose every layer enlarges the errors of those
    before it: PyTorch's own results in float32 and in float64 differ by 3e-5 then.
    """
    torch.manual_seed(0)
    net = torch_rna.Rna(name, CLASSES, stride, head, width, pool_style, two_scales)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.momentum = None  # the average of all batches
            if isinstance(module, torch_rna.Unit):
                getattr(module, f"conv_{module.branches[-1]}").weight.mul_(0.1)
        net(images)
        scores = net.eval()(images)
        last = getattr(net, f"linear{CLASSES}")
        last.bias.sub_(scores.transpose(0, 1).flatten(1).mean(1))  # so that not one class wins everywhere
        for part in (last.weight, last.bias):
            part.mul_(DECISION / scores.std())
    return net


def probabilities(net, images):
    with torch.no_grad():
        return torch.softmax(net(images), 1).numpy()


def in_mxnet(path, name, stride, head, pool_style, images):
    """What MXNet computes with the parameters of a file, which must be the network's, all of them."""
    options = SymbolOptions(bn_use_global_stats=True, pool_top_infer_style=pool_style)
    label = f"x_rna-{name}_cls{CLASSES}" + (f"_s{stride}" if stride else "")
    symbol = segmentation_symbol(label, options, head, "softmax") if head else classification_symbol(label, options)
    parameters = load_parameters(path)
    require_exact(parameters, parameter_shapes(symbol, data=images.shape), path)
    return Predictor(symbol, parameters, [mx.cpu()])(images.numpy())


def assert_agrees(net, name, stride, head, pool_style, images, folder, width=WIDTH):
    """The module's state dict, converted, gives in MXNet what the module gives."""
    torch.save(net.state_dict(), folder / "net.pth")
    tool.main(["convert", str(folder / "net.pth"), str(folder / "net.params")])
    suffix = ("-2s" if net.two_scales else "") + ("" if width == 1 else f"-w{width}")
    theirs = in_mxnet(str(folder / "net.params"), name + suffix, stride, head, pool_style, images)
    ours = probabilities(net, images)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))
    assert len(np.unique(ours.argmax(1))) > 1 and ours.max() - ours.min() > 0.1  # so that this could fail


@pytest.mark.parametrize("name, stride, head, pool_style", [
    ("a1", None, None, None), ("a", None, None, None), ("a", None, None, "caffe"), ("a", None, None, "full"),
    ("a1", 8, "2conv", None), ("a1", 8, "1conv", None), ("a", 8, "1conv", None), ("a", 16, "2conv", "caffe"),
    ("b1", 16, "1conv", None), ("c", 8, "1conv", None), ("d1", None, None, None), ("e", None, None, None),
    ("f1", None, None, None), ("a2", 8, "2conv", None)])
def test_the_module_computes_what_mxnet_computes(images, tmp_path, name, stride, head, pool_style):
    data = inputs(images, 96 if head else 160)
    net = trained(data, name, stride, head, pool_style=pool_style)
    assert_agrees(net, name, stride, head, pool_style, data, tmp_path)


@pytest.mark.parametrize("name, stride, head, two_scales", [
    ("224-0-1-2-1-1-1-1-c", None, None, False), ("56-2-1-1-1-1-1-1", 8, "1conv", False), ("b1", 8, "2conv", True),
    ("d", None, None, True)])
def test_free_notations_and_two_scales(images, tmp_path, name, stride, head, two_scales):
    data = inputs(images, 96)
    net = trained(data, name, stride, head, two_scales=two_scales)
    assert_agrees(net, name, stride, head, None, data, tmp_path)


def test_weights_of_mxnet_load_strictly(images, tmp_path):
    symbol = segmentation_symbol(f"x_rna-a1-w{WIDTH}_cls{CLASSES}_s8")
    shapes = parameter_shapes(symbol, data=(1, 3, 64, 64))
    rng = np.random.default_rng(0)
    weights = {f"{kind}:{key}": rng.uniform(0.1, 1, shape).astype(np.float32)
               for kind, part in zip(("arg", "aux"), shapes) for key, shape in part.items()}
    write_params(tmp_path / "x.params", weights)
    tool.main(["convert", str(tmp_path / "x.params"), str(tmp_path / "x.pth")])
    net = torch_rna.Rna("a1", CLASSES, 8, "2conv", WIDTH)
    net.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True))  # strict: none missing, none more
    assert np.array_equal(net.b2_1.bn_branch2b1.running_var.numpy(), weights["aux:bn2b1_branch2b1_moving_var"])


def test_state_dicts_as_safetensors_are_read(tmp_path):
    saving = pytest.importorskip("safetensors.torch")
    net = torch_rna.Rna("a1", CLASSES, width=0.02)
    saving.save_file(net.state_dict(), tmp_path / "x.safetensors")
    write_weights(str(tmp_path / "x.params"), read_weights(str(tmp_path / "x.safetensors")))
    assert np.array_equal(load_parameters(str(tmp_path / "x.params")).args["conv1a_weight"],
                          net.conv1a.weight.detach().numpy())


def test_files_that_are_programs_are_refused(tmp_path):
    class Program:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    torch.save({"conv1a.weight": Program()}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="x.pth is no whole PyTorch state dict"):
        read_weights(str(tmp_path / "x.pth"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments, words", [
    ({"name": "g"}, "'g' is not known"), ({"name": "b2"}, "'b2' is not known"), ({"name": ""}, "'' is not known"),
    ({"name": "224-0-3-3-6-0-1-1"}, "is not known"), ({"name": "224-0-3-3-6-3-1"}, "is not known"),
    ({"name": "223-0-3-3-6-3-1-1"}, "is not known"), ({"name": "224-0-3-3-6-3-x-1-1"}, "is not known"),
    ({"stride": 4}, "stride 4: .* has 32"),
    ({"name": "f", "stride": 16}, "stride 16: this network has 8"), ({"head": "3conv"}, "head is '3conv'"),
    ({"pool_style": "same"}, "pool_style is 'same'")])
def test_networks_that_are_not(arguments, words):
    with pytest.raises(ValueError, match=words):
        torch_rna.Rna(**{"width": 0.02, **arguments})


def test_the_module_is_one_file_with_the_project_s_tables():
    source = Path(torch_rna.__file__).read_text(encoding="utf-8")
    imported = {name for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Import, ast.ImportFrom))
                for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])}
    assert {name.partition(".")[0] for name in imported} == {"torch"}
    assert {letter: "-".join(map(str, units)) for letter, units in torch_rna.NOTATIONS.items()} == NOTATIONS
    assert torch_rna.LEVELS == {level: (shape.channels, shape.kernels, shape.dropout)
                                for level, shape in LEVELS.items()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stride, head", [(None, None), (8, "2conv")])
def test_model_a1_at_full_width(images, tmp_path, stride, head):
    data = inputs(images, 96 if head else 192)[:4]
    net = trained(data, "a1", stride, head, 1)
    assert_agrees(net, "a1", stride, head, None, data, tmp_path, 1)
