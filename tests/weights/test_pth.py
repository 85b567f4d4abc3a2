"""PyTorch's files as they come: whole, wrapped, old, no such files at all. PyTorch alone is needed."""
import numpy as np
import pytest

from ademxapp.weights.formats import read_weights

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'ademxapp[bench]'")


@pytest.fixture
def state():
    return {"conv1a.weight": torch.arange(54.).reshape(2, 3, 3, 3), "bn7.running_mean": torch.ones(2),
            "bn7.num_batches_tracked": torch.tensor(7)}


@pytest.mark.parametrize("wrap", [
    lambda state: {"epoch": 3, "state_dict": state, "best": 0.7},
    lambda state: {f"module.{name}": value for name, value in state.items()},
    lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}}])
def test_files_of_trainings_are_taken(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "x.pth")
    weights = read_weights(str(tmp_path / "x.pth"))
    assert list(weights) == ["arg:conv1a_weight", "aux:bn7_moving_mean"]
    np.testing.assert_array_equal(weights["arg:conv1a_weight"], np.arange(54).reshape(2, 3, 3, 3))


@pytest.mark.parametrize("value, words", [
    ({"epoch": 3}, "wanted tensors by their names"), ([1, 2], "wanted tensors by their names"),
    ({"module.conv1a.weight": torch.ones(1), "conv2.weight": torch.ones(1)}, "module.conv1a.weight is no name")])
def test_what_holds_no_weights_is_said(tmp_path, value, words):
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=f"x.pth is no whole PyTorch state dict of these networks .{words}"):
        read_weights(str(tmp_path / "x.pth"))


def test_a_page_that_was_saved_as_weights_is_told(tmp_path):
    (tmp_path / "x.pth").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    with pytest.raises(ValueError, match="nothing in it but tensors: it starts with b'<!DOCTYPE html>") as caught:
        read_weights(str(tmp_path / "x.pth"))
    assert "weights_only" not in str(caught.value)


def test_a_pytorch_that_runs_code_in_files_is_refused(tmp_path, monkeypatch, state):
    torch.save(state, tmp_path / "x.pth")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(ValueError, match=r"PyTorch 2.5.1\+cpu may run code .*: pip install 'torch>=2.6'"):
        read_weights(str(tmp_path / "x.pth"))
