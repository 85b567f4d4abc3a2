"""The PyTorch engine: MXNet's numbers, from files; the original's golden numbers; what training relies on."""
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import engine_cases as cases
import numpy as np
import pytest
from reference import class_weights, golden_parameters, weighted_gradient

if importlib.util.find_spec("mxnet"):
    pytest.skip("a process has one engine: run these where MXNet is not installed", allow_module_level=True)
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from ademxapp import engine  # noqa: E402
from ademxapp.engine.torch import runtime  # noqa: E402
from ademxapp.engine.torch.graph import Graph, Pass  # noqa: E402
from ademxapp.errors import UsageError  # noqa: E402
from ademxapp.symbol import SymbolOptions, classification_symbol, losses, recorder, segmentation_symbol  # noqa: E402
from ademxapp.weights.parameters import Parameters  # noqa: E402

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
MXNET = np.load(GOLDEN / "engines.npz")
OHEM = json.loads((GOLDEN / "ohem.json").read_text())
TORCH = engine.load("torch")
CPU, SHALLOW = torch.device("cpu"), "rna-224-0-1-1-1-1-1-1"
SEGMENTER = segmentation_symbol("x_rna-a1-w0.04_cls5_s8", cases.TUNED)  # with dropout
CLASSIFIER = classification_symbol("x_rna-a1-w0.04_cls5", SymbolOptions())


def apart(found, wanted):
    """The distance as a share of what is wanted."""
    return np.linalg.norm(np.subtract(found, wanted, dtype=np.float64)) / np.linalg.norm(wanted)


@pytest.mark.parametrize("name", cases.cases())
def test_probabilities_and_gradients_are_mxnets(name):
    found = cases.numbers(TORCH, name)
    np.testing.assert_allclose(found["prob"], MXNET[f"{name}/prob"], atol=1e-5)
    assert apart(found["gradient"], MXNET[f"{name}/gradient"]) < 1e-4


@pytest.mark.parametrize("optimizer", cases.RATES)
def test_training_is_mxnets(optimizer):
    found = cases.trained(TORCH, optimizer)
    np.testing.assert_allclose(found["losses"], MXNET[f"{optimizer}/losses"], rtol=1e-3)
    # Adam takes whole steps where gradients are of the size of their rounding.
    assert apart(found["change"], MXNET[f"{optimizer}/change"]) < (0.03 if optimizer == "stackedadam" else 1e-3)


def test_statistics_move_as_mxnets():
    found = cases.normalised(TORCH)
    np.testing.assert_allclose(found["prob"], MXNET["normalised/prob"], atol=1e-4)
    for kind in ("mean", "var"):
        assert apart(found[kind], MXNET[f"normalised/{kind}"]) < 1e-4


@pytest.mark.parametrize("key, symbol", [
    ("rna_model_a1_1000_64x64", classification_symbol("ilsvrc-cls_rna-a1_cls1000", cases.FIXED)),
    ("fcrna_a1_21_s8_plain_64x64", segmentation_symbol("voc_rna-a1_cls21_s8", cases.FIXED))])
def test_forward_numbers_are_the_originals(key, symbol):
    data = np.random.RandomState(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    predict = TORCH.Predictor(symbol, Parameters(*golden_parameters(symbol, data=data.shape)), TORCH.devices(cpus=1))
    np.testing.assert_allclose(predict(data), np.load(GOLDEN / "forward.npz")[f"{key}/softmax"], rtol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", OHEM, ids=[case["name"] for case in OHEM])
def test_online_bootstrapping_is_the_originals(case, weighted):
    golden = np.load(GOLDEN / "ohem.npz")
    scores, label = (torch.tensor(golden[f"{case['name']}/{part}"]) for part in ("scores", "label"))
    weights = class_weights(scores.shape[1]) if weighted else None
    graph = Graph(losses.ohem_softmax(recorder.Variable("scores"), **case["kwargs"], class_weights=weights).tojson())
    (prob,), _ = graph({"scores": scores.requires_grad_(), "softmax_label": label}, Pass(True, CPU))
    grad, = torch.autograd.grad(prob, scores, torch.ones_like(prob))
    np.testing.assert_allclose(prob.detach(), golden[f"{case['name']}/prob"], atol=1e-6)
    wanted = weighted_gradient(golden[f"{case['name']}/grad"], label.numpy(), weights)
    np.testing.assert_allclose(grad, wanted, atol=1e-6)
    assert int(grad.abs().sum(1).bool().sum()) == case["pixels_with_nonzero_grad"]


def steps(module, data, label, numbers):
    """Updates of batches of these numbers, which decide the dropout."""
    for number in numbers:
        TORCH.seed(number)
        cases.step(module, data, label)


def require_same_bits(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_fixed_statistics_stay_bit_for_bit():
    data, label, parameters = cases.inputs(SEGMENTER, 64, images=3)
    module = cases.started(TORCH, SEGMENTER, data, label, parameters, learning_rate=0.01, devices=3)
    steps(module, data, label, range(2))
    after = module.get_params()
    require_same_bits(after.auxs, parameters.auxs)
    assert any((after.args[name] != value).any() for name, value in parameters.args.items())


@pytest.mark.parametrize("optimizer", cases.RATES)
@pytest.mark.parametrize("symbol, average", [(SEGMENTER, False), (CLASSIFIER, True)], ids=["fixed", "trained"])
def test_a_resumed_training_has_the_same_bits(symbol, average, optimizer):
    """With dropout, momentum, and statistics of two devices."""
    data, label, parameters = cases.inputs(symbol, 64, images=4)
    how = {"average": average, "learning_rate": 0.01, "wd": 1e-3, "devices": 2, "optimizer": optimizer}
    whole, half = (cases.started(TORCH, symbol, data, label, parameters, **how) for _ in range(2))
    steps(whole, data, label, range(4))
    steps(half, data, label, range(2))
    later = TORCH.Module(symbol, TORCH.devices(cpus=2), average)
    later.bind(data.shape, label.shape)
    later.init_params(half.get_params())
    later.restored_states, later.restored_statistics = half.optimizer_states(), half.device_statistics()
    later.init_optimizer(optimizer, {"learning_rate": 0.01, "momentum": 0.9, "wd": 1e-3, "begin_num_update": 2})
    steps(later, data, label, range(2, 4))
    require_same_bits(later.get_params().all, whole.get_params().all)
    require_same_bits(later.optimizer_states(), whole.optimizer_states())


def test_devices_add_up_the_gradients_of_their_shards():
    symbol = cases.without_dropout(SEGMENTER)
    data, label, parameters = cases.inputs(symbol, 64, images=4)
    both, prob = cases.gradients(TORCH, symbol, data, label, parameters, devices=2)
    shards = [cases.gradients(TORCH, symbol, data[rows], label[rows], parameters) for rows in (
        slice(2), slice(2, 4))]
    for name, value in both.items():
        assert apart(value, shards[0][0][name] + shards[1][0][name]) < 1e-5
    np.testing.assert_allclose(prob, np.concatenate([shard[1] for shard in shards]), atol=1e-6)


@pytest.mark.parametrize("label, options", [
    ("x_rna-a-w0.04_cls5_s8", {"bn_use_global_stats": True}), ("x_rna-a1-w0.04_cls5", {}), ("x_vgg-16-w0.05_cls5", {})])
def test_recomputing_changes_no_bit(label, options):
    found = []
    for recompute in (False, True):
        make = segmentation_symbol if label.endswith("_s8") else classification_symbol
        symbol = make(label, SymbolOptions(recompute=recompute, **options))
        inputs = cases.inputs(symbol, 64)
        module = cases.started(TORCH, symbol, *inputs, average=not options)
        steps(module, *inputs[:2], [5])
        found.append({**module.optimizer_states(), **module.get_params().auxs})
    require_same_bits(*found)


def test_dropout_is_a_function_of_seed_node_and_device():
    draws = [runtime.random_mask(key, (1000,), 0.3, CPU) for key in (
        (1, "drop6", 0), (1, "drop6", 0), (1, "drop6", 1), (1, "drop7", 0), (2, "drop6", 0))]
    assert (draws[0] == draws[1]).all()
    assert all((draws[0] != draw).any() for draw in draws[2:])
    assert abs(float(draws[0].float().mean()) - 0.7) < 0.06


def test_testing_takes_batches_of_any_size():
    symbol = classification_symbol("x_rna-a1-w0.04_cls5", cases.FIXED)
    data, _, parameters = cases.inputs(symbol, 64, images=3)
    predict = TORCH.Predictor(symbol, parameters, TORCH.devices(cpus=2))
    wanted, first, wide = predict(data), predict.begin(data[:1]), predict.begin(np.tile(data, (1, 1, 1, 2)))
    np.testing.assert_allclose(first(), wanted[:1], rtol=1e-5)
    assert wide().shape == (3, 5)
    rounded = TORCH.Predictor(symbol, parameters, TORCH.devices(cpus=1), "bfloat16")(data)
    assert 0 < np.abs(rounded - wanted).max() < 0.02 and rounded.dtype == np.float32


def test_bfloat16_trains_weights_of_float32():
    data, label, parameters = cases.inputs(SEGMENTER, 64)
    found = []
    for dtype in ("float32", "bfloat16"):
        module = TORCH.Module(cases.without_dropout(SEGMENTER), TORCH.devices(cpus=1), False, dtype=dtype)
        module.bind(data.shape, label.shape)
        module.init_params(parameters)
        module.init_optimizer("sgd", {"learning_rate": 0.001, "momentum": 0.9})
        steps(module, data, label, range(2))
        found.append(module.get_params().args)
        assert all(value.dtype == np.float32 for value in found[-1].values())
    change, rounded = (cases.projected({name: after[name] - value for name, value in parameters.args.items()})
                       for after in found)
    assert 0 < apart(rounded, change) < 0.2


@pytest.mark.parametrize("symbol", [
    segmentation_symbol(f"x_{SHALLOW}-c-w0.04_cls5_s8", cases.TUNED), classification_symbol(f"x_{SHALLOW}-w0.04_cls5"),
    segmentation_symbol(f"x_{SHALLOW}-w0.04_cls5_s8", SymbolOptions(recompute=True, bn_use_global_stats=True)),
], ids=["tuned", "classifier", "recomputed"])
def test_graphs_are_compiled_as_a_whole(symbol):
    """`fullgraph` fails where the graph would break."""
    data, label, parameters = cases.inputs(symbol, 32, images=1)
    graph = Graph(symbol.tojson())
    values = {name: torch.tensor(value) for name, value in parameters.all.items()}
    values = {name: value.requires_grad_(name in parameters.args) for name, value in values.items()}
    masks = {name: torch.ones((), dtype=torch.bool) for name in graph.dropouts}
    how = {**values, "data": torch.tensor(data), "softmax_label": torch.tensor(label)}, Pass(True, CPU, masks)
    (wanted,), _ = graph(*how)
    (found,), _ = torch.compile(graph, fullgraph=True, backend="eager")(*how)
    np.testing.assert_allclose(found.detach(), wanted.detach(), atol=1e-6)


@pytest.mark.slow
def test_a_compiled_training_has_the_same_numbers():
    data, label, parameters = cases.inputs(SEGMENTER, 32, images=1)
    found = []
    for compiled in (False, True):
        module = TORCH.Module(SEGMENTER, TORCH.devices(cpus=1), False, compiled=compiled)
        module.bind(data.shape, label.shape)
        module.init_params(parameters)
        module.init_optimizer("sgd", {"learning_rate": 0.001, "momentum": 0.9})
        steps(module, data, label, range(2))
        found.append(cases.projected(module.optimizer_states()))
    assert apart(*found) < 1e-4


def test_an_operator_without_a_rule_is_refused_by_name():
    text = recorder.Flatten(recorder.Variable("data"), name="flat").tojson().replace("Flatten", "Deconvolution")
    with pytest.raises(ValueError, match="node flat has the operator Deconvolution, which the PyTorch engine cannot"):
        Graph(text)
    other = recorder.Activation(recorder.Variable("data"), act_type="tanh", name="act").tojson()
    with pytest.raises(ValueError, match=r"node act \(Activation\)"):
        Graph(other)


def test_what_the_engine_cannot_do_is_said_in_one_line():
    parameters = Parameters({}, {})
    with pytest.raises(UsageError, match=r"--gpus 7: GPU 7: there is no such card \(\d+ found.*use --cpus N"):
        TORCH.devices([7])
    with pytest.raises(UsageError, match="--dtype int8: the PyTorch engine computes in float32 or bfloat16"):
        TORCH.Predictor(CLASSIFIER, parameters, TORCH.devices(cpus=1), "int8")
    with pytest.raises(UsageError, match="planned by MXNet alone"):
        TORCH.planned_bytes(CLASSIFIER, (1, 3, 64, 64))
    with pytest.raises(UsageError, match="dist_sync.*--engine mxnet"):
        TORCH.launched("dist_sync")


def test_a_card_without_memory_is_told_what_to_do(monkeypatch):
    data, label, parameters = cases.inputs(SEGMENTER, 64)
    module = cases.started(TORCH, SEGMENTER, data, label, parameters)

    def full(*_):
        raise runtime.ERRORS[0]("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(module, "_run", full)
    with pytest.raises(ValueError, match=r"cpu\(0\) has too little memory for a batch of 2 images of 64x64 pixels: a "
                                         "smaller --batch-images or --crop-size, or --backward-do-mirror"):
        module.forward(data, label)


def test_memory_of_testing_is_that_of_the_maps_in_use():
    data = recorder.Variable("data")
    one = recorder.Convolution(data, num_filter=4, kernel=(1, 1), no_bias=True, name="one")
    two = recorder.Convolution(one, num_filter=2, kernel=(1, 1), no_bias=True, name="two")
    assert TORCH.planned_bytes(recorder.Flatten(two), (1, 3, 8, 8), training=False) == 4 * 64 * 7


def test_gradients_at_the_image_follow_gates():
    symbol = cases.without_dropout(classification_symbol("x_rna-b1-w0.04_cls5", SymbolOptions(
        bn_use_global_stats=True, path_gates=True)))
    gates = [name for name in symbol.list_arguments() if name.startswith("gate")]
    plain = classification_symbol("x_rna-b1-w0.04_cls5", cases.FIXED)
    data, label, parameters = cases.inputs(plain, 64)
    gradient = TORCH.input_gradient(symbol, parameters, {})
    closed, opened = (gradient(data=data, softmax_label=label, **dict.fromkeys(gates, np.full(2, value, np.float32)))
                      for value in (0, 1))
    assert closed.shape == data.shape and np.isfinite(closed).all() and apart(closed, opened) > 0.1


WORKER = """
import sys
sys.path[:0] = ["tests/helpers"]
import engine_cases as cases
import numpy as np
from ademxapp import engine
torch = engine.load("torch")
assert torch.launched("device")
symbol = cases.build("x_rna-a1-w0.04_cls5", None, None, cases.SymbolOptions())
data, label, parameters = cases.inputs(symbol, 64, images=4)
with torch.workers() as workers:
    rows = slice(2 * workers.rank, 2 * workers.rank + 2)
    assert workers.total("rank", [workers.rank]).tolist() == [1.0] and workers.count == 2
    workers.require_same({"labels": [label.tobytes()]})
    module = cases.started(torch, symbol, data[rows], label[rows], parameters, average=True, workers=workers)
    cases.step(module, data[rows], label[rows])
    np.savez(sys.argv[1] + str(workers.rank), **module.get_params().all)
    assert len(module.device_statistics()) == 2 * len(parameters.auxs)
"""


def test_workers_train_as_devices_do(tmp_path):
    symbol = cases.build("x_rna-a1-w0.04_cls5", None, None, SymbolOptions())
    data, label, parameters = cases.inputs(symbol, 64, images=4)
    port = str(29000 + os.getpid() % 1000)
    running = [subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "of")], cwd=ROOT, env={
        **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": str(rank)})
        for rank in range(2)]
    module = cases.started(TORCH, symbol, data, label, parameters, average=True, devices=2)
    cases.step(module, data, label)
    assert [worker.wait(200) for worker in running] == [0, 0]
    first, second = (dict(np.load(tmp_path / f"of{rank}.npz")) for rank in range(2))
    require_same_bits(second, first)
    for name, value in module.get_params().all.items():
        np.testing.assert_allclose(first[name], value, rtol=1e-5, atol=1e-6)


def test_the_cards_measurements_are_rehearsed(tmp_path, monkeypatch, capsys):
    """The CPU stands in: batches that are too large are halved, what fails is told, what is left is named."""
    from tools import bench
    from tools.benchmarks import card
    names = ("rna-f", "rna-b", "rna-c", "rna-d")
    wanted = [card.Job("testing", names[0]), card.Job("training", names[1], dtype="bfloat16"),
              card.Job("tuning", "rna-f1", "1conv"), card.Job("training", "rna-a1", read=True),
              card.Job("testing", names[2]), card.Job("testing", names[3], compiled=True)]
    monkeypatch.setattr(card, "jobs", lambda has_records: list(wanted))
    measured = card.measured

    def short(job, images, *more):
        if job.network == names[0] and images == 2:
            raise torch.cuda.OutOfMemoryError("too large")
        if job.network == names[2]:
            raise RuntimeError("no kernel\nmore")
        return measured(job, images, *more)
    monkeypatch.setattr(card, "measured", short)
    records, output = packed_images(tmp_path), tmp_path / "card.json"
    assert bench.main(["card", "--rehearse", "--minutes", "1.5", "--records", records, "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert found["rehearsed"] and found["apart"] == {"probabilities": 0, "gradient": 0, "change": 0}
    assert found["reading"]["images"] == 4 and found["reading"]["images_per_s"] > 0
    rows = found["rows"]
    assert [row.get("images") for row in rows] == [1, 2, 1, 2, 2] and rows[4]["error"] == "no kernel"
    assert all(row["images_per_s"] > 0 for row in rows[:4]) and rows[3]["read"]
    assert [row["network"] for row in found["left"]] == [names[3]]  # compiling takes more time than is left
    monkeypatch.setattr("ademxapp.engine.torch.check.apart_from_cpu", lambda *_: {"gradient": 0.01})
    capsys.readouterr()
    with pytest.raises(ValueError, match="the card's numbers are not the CPU's"):
        bench.main(["card", "--rehearse", "--minutes", "0", "--records", "none"])
    assert "not measured: there is no none.rec" in json.loads(capsys.readouterr().out)["reading"]


def packed_images(folder):
    """Records of four noisy images."""
    from PIL import Image

    from tools import pack
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "few.lst").write_text("".join(f"{number}\t{number}\t{number}.png\n" for number in range(4)))
    pack.main([str(folder / "few.lst"), "--root", str(folder), "--out", str(folder / "few"), "--workers", "1"])
    return str(folder / "few")


def test_a_card_is_measured_in_the_order_of_what_is_wanted():
    from tools.benchmarks import card
    wanted = list(card.jobs(True))
    assert wanted[0] == card.Job("tuning", "rna-a1", "2conv") and len(set(wanted)) == len(wanted) > 60
    assert sum(job.read for job in wanted) == 2 and not any(job.read for job in card.jobs())


def test_the_graph_is_measured_beside_a_plain_module(capsys):
    from tools import bench
    assert bench.main("graph --width 0.02 --crop 32 --batch 1 --seconds 0 --format json".split()) == 0
    step, forward = json.loads(capsys.readouterr().out)
    assert len(step["rates"]) >= 3 and forward["against"] == "plain PyTorch module"
    with pytest.raises(UsageError, match="there is no such card"):
        bench.main(["card", "--gpus", "99"])
    with pytest.raises(ImportError, match="MXNet"):
        bench.main(["dtypes"])
