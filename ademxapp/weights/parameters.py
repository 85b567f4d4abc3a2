"""Parameter files, whether they fit a network, and what to start from: functions of (seed, name, shape)."""
import math
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Pattern, Sequence, Tuple

import numpy as np

from ademxapp.files import write_text
from ademxapp.weights.description import write_description
from ademxapp.weights.params_files import by_kind, read_params, write_params

if TYPE_CHECKING:
    from ademxapp.engine import Symbol

Shape = Tuple[int, ...]
Shapes = Tuple[Mapping[str, Shape], Mapping[str, Shape]]  # of arguments and of auxiliary states, by name

INPUTS = ("data", "softmax_label")
SHOWN = 4  # of many problems


@dataclass(frozen=True)
class Parameters:
    """A network's arguments (trained) and auxiliary states (BN's moving statistics), float32, by name."""

    args: Dict[str, np.ndarray]
    auxs: Dict[str, np.ndarray]

    @property
    def all(self) -> Dict[str, np.ndarray]:
        """Both in one dictionary."""
        return {**self.args, **self.auxs}


@dataclass(frozen=True)
class Transfer:
    """What became of each parameter when a network started from another's weights: names."""

    taken: Tuple[str, ...]
    started: Tuple[str, ...]
    left: Tuple[str, ...]

    def __str__(self) -> str:
        return (f"{len(self.taken)} parameters taken; started afresh: {', '.join(self.started) or 'none'}; "
                f"left aside: {', '.join(self.left) or 'none'}")


def parameter_shapes(symbol: "Symbol", **inputs: Shape) -> Shapes:
    """Shapes of a symbol's parameters for the given input shapes: (arguments, auxiliary states).

    Raises ValueError for inputs that are too small for the network.
    """
    try:
        arg_shapes, _, aux_shapes = symbol.infer_shape(**inputs)
    except (RuntimeError, ValueError) as error:  # MXNet's own is a RuntimeError
        sizes = ", ".join(f"{name} {_shape(shape)}" for name, shape in inputs.items())
        reason = str(error).rpartition("Check failed: ")[2]
        raise ValueError(f"the network cannot take inputs of this size ({sizes}): {reason}") from None
    args = dict(zip(symbol.list_arguments(), arg_shapes))
    return ({name: shape for name, shape in args.items() if name not in INPUTS},
            dict(zip(symbol.list_auxiliary_states(), aux_shapes)))


def load_parameters(path: str) -> Parameters:
    """Read a `.params` file. OSError if there is none, ValueError if it is not whole."""
    args, auxs = by_kind(read_params(path), path)
    return Parameters(*({name: value.astype(np.float32, copy=False) for name, value in kind.items()}
                        for kind in (args, auxs)))


def save_parameters(path: str, parameters: Parameters) -> None:
    """Write a `.params` file, whole or not at all."""
    stored = {f"arg:{name}": value for name, value in parameters.args.items()}
    stored.update({f"aux:{name}": value for name, value in parameters.auxs.items()})
    write_params(path, stored)


def save_checkpoint(folder: str, label: str, epoch: int, symbol: "Symbol", parameters: Parameters,
                    about: Optional[Dict[str, Any]] = None) -> str:
    """Write `<label>_ep-NNNN.params` and `<label>_ep-symbol.json`; the path of the former.

    `about`, values of a `Description`, goes beside the weights.
    """
    write_text(os.path.join(folder, f"{label}_ep-symbol.json"), symbol.tojson())
    path = os.path.join(folder, f"{label}_ep-{epoch:04d}.params")
    save_parameters(path, parameters)
    if about:
        write_description(path, {"epoch": epoch, **about})
    return path


def require_exact(parameters: Parameters, shapes: Shapes, source: str) -> None:
    """ValueError unless `parameters` are those of `shapes`: none missing, none more, none of another shape."""
    _require_none(list(differences(parameters, shapes)), source)


def start_from(parameters: Parameters, shapes: Shapes, top: Pattern[str], seed: int,
               source: str) -> Tuple[Parameters, Transfer]:
    """Parameters for a network that starts from another label's weights.

    The parameters of the top, those whose names match the pattern `top`, are initialised where the source lacks them
    or has them in another shape; the source's own top is left aside.

    Returns
    -------
    Parameters, Transfer

    Raises
    ------
    ValueError
        For any other difference.
    """
    found = dict(differences(parameters, shapes))
    _require_none([(name, problem) for name, problem in found.items() if not top.fullmatch(name)], source)
    wanted = {**shapes[0], **shapes[1]}
    started = [name for name in wanted if name in found]
    fresh = initial_parameters({name: shape for name, shape in wanted.items() if _layer(name) in
                                {_layer(other) for other in started}}, seed)
    values = {name: fresh[name] if name in started else parameters.all[name] for name in wanted}
    transfer = Transfer(tuple(name for name in wanted if name not in found), tuple(started),
                        tuple(name for name in found if name not in wanted))
    return Parameters({name: values[name] for name in shapes[0]}, {name: values[name] for name in shapes[1]}), transfer


def start_afresh(shapes: Shapes, seed: int) -> Parameters:
    """Initial parameters of a network."""
    values = initial_parameters({**shapes[0], **shapes[1]}, seed)
    return Parameters({name: values[name] for name in shapes[0]}, {name: values[name] for name in shapes[1]})


def differences(parameters: Parameters, shapes: Shapes) -> Iterator[Tuple[str, str]]:
    """`(name, what is wrong)` for every parameter that is missing, too many, or of another shape."""
    for have, want in zip((parameters.args, parameters.auxs), shapes):
        for name, shape in want.items():
            if name not in have:
                yield name, "is missing"
            elif tuple(have[name].shape) != tuple(shape):
                yield name, f"has shape {_shape(have[name].shape)}, wanted {_shape(shape)}"
        for name in have:
            if name not in want:
                yield name, "is not in the network"


def shortened(problems: Sequence[Tuple[str, str]]) -> List[str]:
    """The first of many `(name, what is wrong)` as texts, and how many more there are."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return [f"{name} {problem}" for name, problem in problems[:SHOWN]] + more


def _require_none(problems: Sequence[Tuple[str, str]], source: str) -> None:
    if problems:
        raise ValueError(f"{source} does not fit the network: {'; '.join(shortened(problems))}. Check its label, "
                         "--model where that is given, against the weights")


def _layer(name: str) -> str:
    return name.rpartition("_")[0]


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))


def initial_parameter(name: str, shape: Shape, seed: int) -> np.ndarray:
    """The starting value of one parameter, float32.

    Convolutions are normal with variance 2 / fan_in and without bias (He et al. 2015); fully connected layers uniform
    within ± sqrt(1 / fan_in), as is a bias given by `fully_connected_bias`. Gammas and variances are 1, the rest 0.
    """
    if name.endswith("_weight"):
        rng, fan_in = _rng(name, seed), math.prod(shape[1:])
        if len(shape) == 2:
            return _uniform(rng, shape, fan_in)
        return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    if name.endswith(("_gamma", "_moving_var")):
        return np.ones(shape, np.float32)
    if name.endswith(("_bias", "_beta", "_moving_mean")):
        return np.zeros(shape, np.float32)
    raise ValueError(f"no rule to initialise parameter {name}")


def initial_parameters(shapes: Mapping[str, Shape], seed: int) -> Dict[str, np.ndarray]:
    """Starting values of all parameters: {name: ndarray} for {name: shape}."""
    values = {name: initial_parameter(name, shape, seed) for name, shape in shapes.items()}
    for name in shapes:
        weight = shapes.get(name[:-len("_bias")] + "_weight", ()) if name.endswith("_bias") else ()
        if len(weight) == 2:
            values[name] = _uniform(_rng(name, seed), shapes[name], weight[1])
    return values


def _uniform(rng: np.random.Generator, shape: Shape, fan_in: int) -> np.ndarray:
    return rng.uniform(-np.sqrt(1 / fan_in), np.sqrt(1 / fan_in), shape).astype(np.float32)


def _rng(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
