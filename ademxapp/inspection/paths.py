"""Gradients that take one path through a residual network (paper section 6.3, Fig. 4).

A network of n units has 2^n paths from the scores back to the image: in every unit a gradient goes through the mapping
or through the shortcut (a projection counts as shortcut). The length of a path is the number of its mappings. Veit et
al. 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", section 4.3.
"""
import math

import numpy as np

from ademxapp import engine

GATE = "gate"
TINY = 1e-300  # in place of the norm 0, along paths where nothing arrives, whose logarithm is asked for


def gated_units(symbol):
    """Names of the units of a Symbol that was built with `SymbolOptions.path_gates`, from the image on."""
    return tuple(name[len(GATE):] for name in symbol.list_arguments() if name.startswith(GATE))


class PathGradients:
    """A network bound for the gradient at its input along any of its paths.

    Parameters
    ----------
    symbol : Symbol
        A classification network built with `SymbolOptions.path_gates`.
    parameters : Parameters
        The network's.
    data_shape : tuple of int
        (N, 3, H, W) of the batches.
    device : Device, optional

    Attributes
    ----------
    units : tuple of str
        Names of the units, from the image on.

    Raises
    ------
    ValueError
        If the network has no residual units.
    """

    def __init__(self, symbol, parameters, data_shape, device=None):
        self.units = gated_units(symbol)
        if not self.units:
            raise ValueError("the network has no residual units, so there are no paths to choose from")
        gates = {GATE + unit: (data_shape[0],) for unit in self.units}
        self._gradient = engine.load().input_gradient(symbol, parameters, {"data": data_shape, **gates}, device)

    def __call__(self, data, labels, path):
        """The gradient (N, 3, H, W) float32 of the summed loss at the input, along one path.

        Parameters
        ----------
        data, labels : ndarray
            (N, 3, H, W) and (N,).
        path : array_like of bool, (units,) or (units, N)
            Whether the gradient goes through a unit's mapping, else through its shortcut; of all images or of each.
        """
        gates = np.reshape(np.asarray(path, np.float32), (len(self.units), -1))
        gates = np.broadcast_to(gates, (len(gates), len(data)))
        return self._gradient(data=data, softmax_label=labels, **{GATE + unit: gate for unit, gate in
                                                                  zip(self.units, gates)})


def sample_path(units, length, seed, sample=0):
    """One of the paths of a length through a number of units, all of them equally likely: bool (units,).

    A function of its arguments alone.
    """
    chosen = np.random.default_rng([seed, length, sample]).choice(units, length, replace=False)
    return np.isin(np.arange(units), chosen)


def norm_per_example(gradient):
    """Euclidean norm of a batch's gradient (N, …), divided by N (float; paper section 6.3)."""
    return float(np.linalg.norm(gradient.astype(np.float64))) / len(gradient)


def spread_lengths(units, count):
    """At most `count` path lengths (list of int), evenly spread from 0 to `units`."""
    return sorted({int(round(length)) for length in np.linspace(0, units, min(count, units + 1))})


def measure(gradients, batches, lengths, seed, progress=iter):
    """Norms of the gradient at the input: a list (lengths) of lists (batches) of floats.

    Each batch, (data, labels), takes one path of each length. `progress` wraps the list of what is to be done.
    """
    norms = [[] for _ in lengths]
    for sample, place in progress([(i, j) for i in range(len(batches)) for j in range(len(lengths))]):
        path = sample_path(len(gradients.units), lengths[place], seed, sample)
        norms[place].append(norm_per_example(gradients(*batches[sample], path)))
    return norms


def expected_contributions(lengths, means, units):
    """The mean norm of each path length times the number of its paths, as shares of 1: ndarray (units + 1).

    What all paths of a length would contribute if their gradients pointed the same way; Veit et al., Fig. 6 (right).
    Between the measured lengths, the logarithm of the norm is interpolated linearly.
    """
    every = np.arange(units + 1)
    logs = np.interp(every, lengths, np.log(np.maximum(means, TINY))) + [_log_binomial(units, k) for k in every]
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def _log_binomial(n, k):
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
