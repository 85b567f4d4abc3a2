"""Layers with the parameter names of the original program.

Every layer takes a `Scope` first: what holds for the whole network that is being built.
"""
from dataclasses import dataclass, field
from functools import reduce

from ademxapp.engine.mxnet.backend import mx
from ademxapp.symbol.options import SymbolOptions

BN_EPS = 1.001e-5
BN_MOMENTUM = 0.9
ONEDNN_BLOCK = 16
MINUS_INFINITY = -1e30  # of dilated pooling's padding: finite, so that no NaN can come of it


@dataclass
class Scope:
    """Settings of one network under construction, and its variables.

    Two passes with one scope share every parameter; `prefix` keeps the names of their nodes apart.
    `dropout` turns the paper's dropout on (fine-tuning).
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

    def node(self, name, recomputable=False):
        """Name and attributes of an operator's node, as keyword arguments.

        A `recomputable` node's output is not kept for the backward pass where `SymbolOptions.recompute` asks for
        that; MXNet then runs the node again, from the nearest outputs that are kept.
        """
        recompute = recomputable and self.options.recompute
        return {"name": self.prefix + name, "attr": {"force_mirroring": "True"} if recompute else None}


@dataclass
class Resolution:
    """How far the maps are halved on the way to an output stride, and the dilation beyond it.

    A halving past `stride` becomes dilation, of the layers after the one that would have halved (paper section 5,
    "Resolution").
    """

    stride: int
    reached: int = 1
    dilation: int = 1

    def halve(self):
        """Take the next halving: (stride, dilation) of the layer that does it; `dilation` is then of those after it."""
        step, growth, dilation = (2, 1, self.dilation) if self.reached < self.stride else (1, 2, self.dilation)
        self.reached *= step
        self.dilation *= growth
        return step, dilation


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
                              dilate=_pair(dilation), no_bias=not bias, **inputs,
                              **scope.node(name, recomputable=True))


def bn(scope, data, name, eps=BN_EPS):
    """Batch normalisation with a trained gamma."""
    options = scope.options
    inputs = {part: scope.variable(f"{name}_{part}") for part in ("gamma", "beta", "moving_mean", "moving_var")}
    # cuDNN's BN updates the moving statistics in every forward pass, so in a recomputation once more. MXNet's own
    # (always used on the CPU) does so in the backward pass, which is run once.
    own = {"cudnn_off": True} if options.recompute and not options.bn_use_global_stats else {}
    return mx.sym.BatchNorm(data, eps=eps, momentum=BN_MOMENTUM, fix_gamma=False,
                            use_global_stats=options.bn_use_global_stats, **own, **inputs,
                            **scope.node(name, recomputable=True))


def relu(scope, data, name):
    """Rectified linear units."""
    return mx.sym.Activation(data, act_type="relu", **scope.node(name, recomputable=True))


def bn_relu(scope, data, name):
    """`bn<name>` and `relu<name>`, in that order."""
    return relu(scope, bn(scope, data, f"bn{name}"), f"relu{name}")


def fc(scope, data, name, units):
    """Fully connected layer with a bias, over the flattened input."""
    return mx.sym.FullyConnected(data, scope.variable(f"{name}_weight"), scope.variable(f"{name}_bias"),
                                 num_hidden=units, **scope.node(name))


def dropout(scope, data, name, rate, always=False):
    """Dropout where the scope has it on, or `always`; else nothing. It is never recomputed: it would draw anew."""
    return mx.sym.Dropout(data, p=rate, **scope.node(name)) if (scope.dropout or always) and rate else data


def global_pool(scope, data, name):
    """Average over all cells: (N, C, H, W) to (N, C)."""
    pooled = mx.sym.Pooling(data, kernel=(7, 7), pool_type="avg", global_pool=True, **scope.node(name))
    return mx.sym.Flatten(pooled)


def pool(scope, data, name, kind, kernel=3, stride=1, pad=0, convention="valid", recomputable=False):
    """Pooling, `kind` "max" or "avg"; an average counts no padding."""
    return mx.sym.Pooling(data, pool_type=kind, kernel=_pair(kernel), stride=_pair(stride), pad=_pair(pad),
                          pooling_convention=convention, count_include_pad=False,
                          **scope.node(name, recomputable))


def max_pool(scope, data, name, stride=2, dilation=1, kernel=3):
    """Max pooling; a 3x3 kernel is padded as `SymbolOptions.pool_top_infer_style` says, a 2x2 one is not.

    With stride 1 the maps keep their size, and at every second cell hold what the pooling of stride 2 has.
    """
    style = scope.options.pool_top_infer_style if kernel == 3 else "caffe"
    if stride == 1:
        return dilated_max_pool(scope, data, name, dilation, style is None, kernel)
    return pool(scope, data, name, "max", kernel, stride, pad=1 if style is None else 0,
                convention="full" if style == "full" else "valid", recomputable=kernel == 3)


def dilated_max_pool(scope, data, name, dilation=1, centred=True, kernel=3):
    """Max pooling of stride 1 over cells that lie `dilation` apart; (N, C, H, W) to the same.

    MXNet 1.9.1's Pooling knows no dilation, so the maximum is taken over shifted copies along the rows, then along
    the columns. Of several equal maxima the first in row order gets the gradient, as in Pooling. `centred=False`
    looks at cells to the right and below only (padding 0 of the original). The copies are cheap to make and large,
    so they are always made again for the backward pass.
    """
    reach = (kernel - 1) * dilation
    before = reach // 2 if centred else 0
    with mx.AttrScope(force_mirroring="True"):
        padded = mx.sym.Pad(data, mode="constant", constant_value=MINUS_INFINITY, name=f"{scope.prefix}{name}_pad",
                            pad_width=(0, 0, 0, 0, before, reach - before, before, reach - before))
        return _maximum_of_shifted(_maximum_of_shifted(padded, 3, kernel, dilation), 2, kernel, dilation)


def concat(scope, ends, name, aligned=False):
    """Several maps as one, along the channels; `aligned` says that each has a multiple of `ONEDNN_BLOCK` channels.

    Where a part starts within a block, oneDNN's gradient of a concatenation fails or ends the process (MXNet 1.9.1).
    Reshaping makes MXNet lay the gradient out without blocks.
    """
    out = mx.sym.concat(*ends, dim=1, name=scope.prefix + name)
    return out if aligned else mx.sym.squeeze(mx.sym.expand_dims(out, axis=4), axis=4)


def path_gates(scope, name, mapping, shortcut):
    """The two branches of the unit `name`, with equal values; behind gates where `SymbolOptions.path_gates` asks."""
    if not scope.options.path_gates:
        return mapping, shortcut
    gate, closed = scope.variable(f"gate{name}"), mx.sym.BlockGrad
    return mx.sym.where(gate, mapping, closed(mapping)), mx.sym.where(gate, closed(shortcut), shortcut)


def _maximum_of_shifted(data, axis, count, dilation):
    ends = [(i + 1 - count) * dilation or None for i in range(count)]
    shifted = [mx.sym.slice_axis(data, axis=axis, begin=i * dilation, end=end) for i, end in enumerate(ends)]
    return reduce(mx.sym.maximum, shifted)


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
