"""The same network in PyTorch, with the same parameters."""
from types import ModuleType
from typing import TYPE_CHECKING, Optional

from ademxapp.cli import UsageError
from ademxapp.weights.parameters import Parameters
from ademxapp.weights.torch_layout import to_torch

if TYPE_CHECKING:
    from ademxapp.deploy.torch_rna import Rna

NETWORK = "a1"


def import_torch() -> ModuleType:
    """PyTorch; UsageError where it is not installed."""
    try:
        import torch
    except ImportError:
        raise UsageError("PyTorch is not installed: pip install 'ademxapp[bench]'") from None
    return torch


def torch_network(parameters: Parameters, classes: int, stride: Optional[int], head: Optional[str], width: float
                  ) -> "Rna":
    """Model A1 with the parameters of its MXNet form."""
    from ademxapp.deploy.torch_rna import Rna
    net, torch = Rna(NETWORK, classes, stride, head, width), import_torch()
    state = to_torch({**{f"arg:{name}": value for name, value in parameters.args.items()},
                      **{f"aux:{name}": value for name, value in parameters.auxs.items()}})
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return net
