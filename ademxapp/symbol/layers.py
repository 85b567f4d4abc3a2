"""Layers with the parameter names of the original program.

Every layer takes a `Scope` first: what holds for the whole network that is being built.
"""
from dataclasses import dataclass, field

from ademxapp.backend import mx
from ademxapp.symbol.options import SymbolOptions

BN_EPS = 1.001e-5
BN_MOMENTUM = 0.9
MINUS_INFINITY = -1e30  # of dilated pooling's padding: finite, so that no NaN can come of it


@dataclass
class Scope:
    """Settings of one network under construction, and its variables.

    Two passes with one scope share every parameter; `prefix` keeps the names of their nodes apart.
    `dropout` turns the paper's dropout on (fine-tuning). `residual` is on inside a residual unit, where
    `SymbolOptions.recompute` applies.
    """

    options: SymbolOptions = SymbolOptions()
    width: float = 1.0
    dropout: bool = False
    prefix: str = ""
    variables: dict = field(default_factory=dict)

    def channels(self, count):
        """A channel count (int) times the width, rounded, at least 1."""
        return max(1, int(round(count * self.width)))

    def variable(self, name):
        """The variable of that name: the same node whenever it is asked for."""
        if name not in self.variables:
            self.variables[name] = mx.sym.Variable(name, attr=self._multipliers(name))
        return self.variables[name]

    def _multipliers(self, name):
        bias = name.endswith(("_bias", "_beta"))
        if self.options.lr_type == "alex" and bias:
            return {"__lr_mult__": "2.", "__wd_mult__": "0."}
        if self.options.lr_type == "fixed" and not name.endswith(("_moving_mean", "_moving_var")):
            return {"__lr_mult__": "0.", "__wd_mult__": "0."}
        return {}

    def node(self, name):
        """Name and attributes of an operator's node, as keyword arguments."""
        mirror = {"force_mirroring": "True"} if self.options.recompute else None
        return {"name": self.prefix + name, "attr": mirror}


def conv(scope, data, name, channels, kernel=3, stride=1, dilation=1, bias=False, pad=None):
    """Convolution with "same" padding; `channels` counts as given. A 1x1 kernel has no dilation.

    `kernel` and `pad` are an int or a pair (rows, columns).
    """
    kernel = _pair(kernel)
    dilation = 1 if kernel == (1, 1) else dilation
    pad = tuple(dilation * (side - 1) // 2 for side in kernel) if pad is None else _pair(pad)
    inputs = {"weight": scope.variable(f"{name}_weight")}
    if bias:
        inputs["bias"] = scope.variable(f"{name}_bias")
    return mx.sym.Convolution(data, num_filter=channels, kernel=kernel, stride=_pair(stride), pad=pad,
                              dilate=_pair(dilation), no_bias=not bias, **inputs, **scope.node(name))


def bn(scope, data, name, eps=BN_EPS):
    """Batch normalisation with a trained gamma."""
    inputs = {part: scope.variable(f"{name}_{part}") for part in ("gamma", "beta", "moving_mean", "moving_var")}
    return mx.sym.BatchNorm(data, eps=eps, momentum=BN_MOMENTUM, fix_gamma=False,
                            use_global_stats=scope.options.bn_use_global_stats, **inputs, **scope.node(name))


def relu(scope, data, name):
    """Rectified linear units."""
    return mx.sym.Activation(data, act_type="relu", **scope.node(name))


def bn_relu(scope, data, name):
    """`bn<name>` and `relu<name>`, in that order."""
    return relu(scope, bn(scope, data, f"bn{name}"), f"relu{name}")


def fc(scope, data, name, units):
    """Fully connected layer with a bias, over the flattened input."""
    return mx.sym.FullyConnected(data, scope.variable(f"{name}_weight"), scope.variable(f"{name}_bias"),
                                 num_hidden=units, **scope.node(name))


def dropout(scope, data, name, rate):
    """Dropout where the scope has it on; else nothing."""
    return mx.sym.Dropout(data, p=rate, **scope.node(name)) if scope.dropout and rate else data


def global_pool(scope, data, name):
    """Average over all cells: (N, C, H, W) to (N, C)."""
    pooled = mx.sym.Pooling(data, kernel=(7, 7), pool_type="avg", global_pool=True, **scope.node(name))
    return mx.sym.Flatten(pooled)


def max_pool(scope, data, name, stride=2, dilation=1):
    """3x3 max pooling, padded as `SymbolOptions.pool_top_infer_style` says.

    With stride 1 the maps keep their size, and at every second cell hold what the pooling of stride 2 has.
    """
    style = scope.options.pool_top_infer_style
    if stride == 1:
        return dilated_max_pool(scope, data, name, dilation, centred=style is None)
    return mx.sym.Pooling(data, kernel=(3, 3), stride=(stride, stride), pool_type="max",
                          pad=(1, 1) if style is None else (0, 0),
                          pooling_convention="full" if style == "full" else "valid", **scope.node(name))


def dilated_max_pool(scope, data, name, dilation=1, centred=True):
    """3x3 max pooling of stride 1 over cells that lie `dilation` apart; (N, C, H, W) to the same.

    MXNet 1.9.1's Pooling knows no dilation, so the maximum is taken over three shifted copies along the
    rows, then along the columns. Of several equal maxima the first in row order gets the gradient, as in
    Pooling. `centred=False` looks at cells to the right and below only (padding 0 of the original).
    """
    before, after = (dilation, dilation) if centred else (0, 2 * dilation)
    padded = mx.sym.Pad(data, mode="constant", constant_value=MINUS_INFINITY,
                        pad_width=(0, 0, 0, 0, before, after, before, after), name=f"{scope.prefix}{name}_pad")
    return _maximum_of_three(_maximum_of_three(padded, 3, dilation), 2, dilation)


def _maximum_of_three(data, axis, dilation):
    shifted = [mx.sym.slice_axis(data, axis=axis, begin=begin * dilation, end=end)
               for begin, end in ((0, -2 * dilation), (1, -dilation), (2, None))]
    return mx.sym.maximum(mx.sym.maximum(shifted[0], shifted[1]), shifted[2])


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
