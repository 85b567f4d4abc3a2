"""What may differ between two builds of the same network."""
from dataclasses import dataclass
from typing import Optional, Sequence

LR_TYPES = ("torch", "alex", "fixed")
POOL_STYLES = (None, "caffe", "full")


@dataclass(frozen=True)
class SymbolOptions:
    """Options of a network that are not part of its label.

    Parameters
    ----------
    bn_use_global_stats : bool
        Normalise by the moving means and variances, and leave them as they are (testing; fine-tuning,
        paper section 5).
    lr_type : {"torch", "alex", "fixed"}
        Learning rates of the biases and betas: as of the weights; twice as high and without weight
        decay; or every parameter that is built so stays as it is.
    pool_top_infer_style : {None, "caffe", "full"}
        Pooling that halves: padding 1; padding 0 with sizes rounded down; padding 0, rounded up.
    recompute : bool
        Compute convolutions, BN and ReLUs again in the backward pass instead of keeping their outputs; what is kept
        are sums, concatenations and dropout.
    path_gates : bool
        Every residual unit has one more input, `gate<unit>`, (N,), that chooses for the backward pass alone where an
        image's gradient goes: 1, through the mapping only; 0, through the shortcut only (paper section 6.3).
    """

    bn_use_global_stats: bool = False
    lr_type: str = "torch"
    pool_top_infer_style: Optional[str] = None
    recompute: bool = False
    path_gates: bool = False

    def __post_init__(self) -> None:
        _check("lr_type", self.lr_type, LR_TYPES)
        _check("pool_top_infer_style", self.pool_top_infer_style, POOL_STYLES)


def _check(field: str, value: Optional[str], known: Sequence[Optional[str]]) -> None:
    if value not in known:
        raise ValueError(f"{field} is {value!r}; known are {', '.join(map(repr, known))}")
