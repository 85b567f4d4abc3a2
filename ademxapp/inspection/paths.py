"""Gradients that take one path through a residual network (paper section 6.3, Fig. 4).

A network of n units has 2^n paths from the scores back to the image: in every unit a gradient goes through the mapping
or through the shortcut (a projection counts as shortcut). The length of a path is the number of its mappings. Veit et
al. 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", section 4.3.
"""
import math
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ademxapp import engine
from ademxapp.weights.parameters import Parameters

GATE = "gate"
COVERED = 0.95  # of the expected contributions, for `read_off`
TINY = 1e-300  # in place of the norm 0, along paths where nothing arrives, whose logarithm is asked for


def gated_units(symbol: engine.Symbol) -> Tuple[str, ...]:
    """Names of the units of a Symbol that was built with `SymbolOptions.path_gates`, from the image on."""
    return tuple(name[len(GATE):] for name in symbol.list_arguments() if name.startswith(GATE))


class PathGradients:
    """A network bound for the gradient at its input along any of its paths.

    `symbol` is a classification network built with `SymbolOptions.path_gates`; `data_shape` (N, 3, H, W) is that of the
    batches; `units` has the names of the units, from the image on. ValueError if the network has no residual units.
    """

    def __init__(self, symbol: engine.Symbol, parameters: Parameters, data_shape: Tuple[int, ...],
                 device: Optional[engine.Device] = None) -> None:
        self.units = gated_units(symbol)
        if not self.units:
            raise ValueError("the network has no residual units, so there are no paths to choose from")
        gates = {GATE + unit: (data_shape[0],) for unit in self.units}
        self._gradient = engine.load().input_gradient(symbol, parameters, {"data": data_shape, **gates}, device)

    def __call__(self, data: np.ndarray, labels: np.ndarray, path: np.ndarray) -> np.ndarray:
        """The gradient (N, 3, H, W) float32 of the summed loss at the input, along one path.

        `data` is (N, 3, H, W), `labels` (N,). `path`, (units,) or (units, N), says whether the gradient goes through a
        unit's mapping, else through its shortcut; of all images or of each.
        """
        gates = np.reshape(np.asarray(path, np.float32), (len(self.units), -1))
        gates = np.broadcast_to(gates, (len(gates), len(data)))
        return self._gradient(data=data, softmax_label=labels, **{GATE + unit: gate for unit, gate in
                                                                  zip(self.units, gates)})


def sample_path(units: int, length: int, seed: int, sample: int = 0) -> np.ndarray:
    """One of the paths of a length through so many units, equally likely, by the arguments alone: bool (units,)."""
    chosen = np.random.default_rng([seed, length, sample]).choice(units, length, replace=False)
    return np.isin(np.arange(units), chosen)


def norm_per_example(gradient: np.ndarray) -> float:
    """Euclidean norm of a batch's gradient (N, …), divided by N (float; paper section 6.3)."""
    return float(np.linalg.norm(gradient.astype(np.float64))) / len(gradient)


def spread_lengths(units: int, count: int) -> List[int]:
    """At most `count` path lengths (list of int), evenly spread from 0 to `units`."""
    return sorted({int(round(length)) for length in np.linspace(0, units, min(count, units + 1))})


def measure(gradients: PathGradients, batches: Sequence[Tuple[np.ndarray, np.ndarray]], lengths: Sequence[int],
            seed: int, progress: Callable[[List[Tuple[int, int]]], Iterable[Tuple[int, int]]] = iter
            ) -> List[List[float]]:
    """Norms of the gradient at the input by length and batch, of one path each; `progress` wraps the list of work."""
    norms: List[List[float]] = [[] for _ in lengths]
    for sample, place in progress([(i, j) for i in range(len(batches)) for j in range(len(lengths))]):
        path = sample_path(len(gradients.units), lengths[place], seed, sample)
        norms[place].append(norm_per_example(gradients(*batches[sample], path)))
    return norms


def expected_contributions(lengths: Union[np.ndarray, Sequence[int]], means: Union[np.ndarray, Sequence[float]],
                           units: int) -> np.ndarray:
    """The mean norm of each path length times the number of its paths, as shares of 1: ndarray (units + 1).

    What all paths of a length would contribute if their gradients pointed the same way; Veit et al., Fig. 6 (right).
    Between the measured lengths, the logarithm of the norm is interpolated linearly.
    """
    counts = [math.lgamma(units + 1) - math.lgamma(length + 1) - math.lgamma(units - length + 1)  # logarithms of them
              for length in range(units + 1)]
    logs = np.interp(np.arange(units + 1), lengths, np.log(np.maximum(means, TINY))) + np.array(counts)
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def read_off(norms: Sequence[Sequence[float]], lengths: Sequence[int], units: int) -> Dict[str, Any]:
    """What the norms say, a row of them for each length: their means, long paths beside short ones, what is expected.

    `quarter_means` are those at the lengths nearest to no unit, a quarter, a half, three quarters and all of the units;
    `long_over_short` is of the geometric means over the longest and over the shortest quarter of the lengths;
    `factor_per_mapping` what one more mapping multiplies the norm by, fitted to the logarithms of all norms;
    `covered_lengths` those that hold the middle COVERED of the expected contributions.
    """
    norms, lengths = np.array(norms), np.array(lengths)
    means, logs = norms.mean(1), np.log(np.maximum(norms, TINY)).mean(1)
    quarters = [int(np.abs(lengths - units * quarter / 4).argmin()) for quarter in range(5)]
    contributions = expected_contributions(lengths, means, units)
    return {"means": means, "lowest": norms.min(1), "highest": norms.max(1),
            "quarter_means": means[quarters], "longest_over_shortest": float(means[-1] / means[0]),
            "long_over_short": float(np.exp(logs[lengths >= units * 3 / 4].mean() - logs[lengths <= units / 4].mean())),
            "factor_per_mapping": float(np.exp(np.polyfit(lengths, logs, 1)[0])),
            "expected_contributions": contributions,
            "covered_lengths": np.searchsorted(np.cumsum(contributions), (
                (1 - COVERED) / 2, (1 + COVERED) / 2)).tolist()}
