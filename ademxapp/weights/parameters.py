"""Parameter files, and whether they fit a network."""
import os
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from ademxapp.backend import mx
from ademxapp.files import replacing, write_text
from ademxapp.weights.description import write_description
from ademxapp.weights.initialise import initial_parameters
from ademxapp.weights.params_files import by_kind, read_params

INPUTS = ("data", "softmax_label")
SHOWN = 4  # of many problems


@dataclass(frozen=True)
class Parameters:
    """A network's arguments (trained) and auxiliary states (BN's moving statistics): {name: NDArray} each."""

    args: dict
    auxs: dict

    @property
    def all(self):
        """Both in one dictionary."""
        return {**self.args, **self.auxs}


@dataclass(frozen=True)
class Transfer:
    """What became of each parameter when a network started from another's weights: names."""

    taken: Tuple[str, ...]
    started: Tuple[str, ...]
    left: Tuple[str, ...]

    def __str__(self):
        return (f"{len(self.taken)} parameters taken; started afresh: {', '.join(self.started) or 'none'}; "
                f"left aside: {', '.join(self.left) or 'none'}")


def parameter_shapes(symbol, **inputs):
    """Shapes of a symbol's parameters for the given input shapes: (arguments, auxiliary states).

    Raises ValueError for inputs that are too small for the network.
    """
    try:
        arg_shapes, _, aux_shapes = symbol.infer_shape(**inputs)
    except mx.base.MXNetError as error:
        sizes = ", ".join(f"{name} {_shape(shape)}" for name, shape in inputs.items())
        reason = str(error).rpartition("Check failed: ")[2]
        raise ValueError(f"the network cannot take inputs of this size ({sizes}): {reason}") from None
    args = dict(zip(symbol.list_arguments(), arg_shapes))
    return ({name: shape for name, shape in args.items() if name not in INPUTS},
            dict(zip(symbol.list_auxiliary_states(), aux_shapes)))


def load_parameters(path):
    """Read a `.params` file. OSError if there is none, ValueError if it is not whole."""
    return Parameters(*by_kind(load_arrays(path), path))


def load_arrays(path):
    """Read {name: NDArray} in MXNet's format. OSError if there is no file, ValueError if it is not whole."""
    stored = read_params(path)  # not by MXNet, which a damaged file can end, or have allocate without bounds
    return {name: mx.nd.array(stored[name], dtype=stored.pop(name).dtype) for name in list(stored)}


def save_parameters(path, parameters):
    """Write a `.params` file, whole or not at all."""
    stored = {f"arg:{name}": value for name, value in parameters.args.items()}
    stored.update({f"aux:{name}": value for name, value in parameters.auxs.items()})
    save_arrays(path, stored)


def save_arrays(path, arrays):
    """Write {name: NDArray} in MXNet's format, whole or not at all. OSError if it cannot be written."""
    with replacing(path) as temporary:
        try:
            mx.nd.save(temporary, arrays)
        except mx.base.MXNetError:
            whole = False
        else:
            whole = _ends_with(temporary, list(arrays)[-1] if arrays else "")  # MXNet does not see a failing last write
        if not whole:
            raise OSError(f"{path} could not be written: is the disk full?")


def save_checkpoint(folder, label, epoch, symbol, parameters, about=None):
    """Write `<label>_ep-NNNN.params` and `<label>_ep-symbol.json`; the path of the former.

    `about`, values of a `Description`, goes beside the weights.
    """
    write_text(os.path.join(folder, f"{label}_ep-symbol.json"), symbol.tojson())
    path = os.path.join(folder, f"{label}_ep-{epoch:04d}.params")
    save_parameters(path, parameters)
    if about:
        write_description(path, {"epoch": epoch, **about})
    return path


def require_exact(parameters, shapes, source):
    """ValueError unless `parameters` are those of `shapes`: none missing, none more, none of another shape."""
    _require_none(list(differences(parameters, shapes)), source)


def start_from(parameters, shapes, top, seed, source):
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
    values = {name: mx.nd.array(fresh[name]) if name in started else parameters.all[name] for name in wanted}
    transfer = Transfer(tuple(name for name in wanted if name not in found), tuple(started),
                        tuple(name for name in found if name not in wanted))
    return Parameters({name: values[name] for name in shapes[0]}, {name: values[name] for name in shapes[1]}), transfer


def start_afresh(shapes, seed):
    """Initial parameters of a network."""
    values = initial_parameters({**shapes[0], **shapes[1]}, seed)
    return Parameters({name: mx.nd.array(values[name]) for name in shapes[0]},
                      {name: mx.nd.array(values[name]) for name in shapes[1]})


def differences(parameters, shapes):
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


def _ends_with(path, text):
    with open(path, "rb") as written:
        written.seek(-min(len(text.encode()), os.path.getsize(path)), os.SEEK_END)
        return written.read() == text.encode()


def shortened(problems: Sequence[Tuple[str, str]]) -> List[str]:
    """The first of many `(name, what is wrong)` as texts, and how many more there are."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return [f"{name} {problem}" for name, problem in problems[:SHOWN]] + more


def _require_none(problems: Sequence[Tuple[str, str]], source: str) -> None:
    if problems:
        raise ValueError(f"{source} does not fit the network: {'; '.join(shortened(problems))}. Check --model against "
                         "the weights")


def _layer(name):
    return name.rpartition("_")[0]


def _shape(shape):
    return "x".join(map(str, shape))
