"""A network's graph, as MXNet writes it, as a function of tensors."""
import json
from dataclasses import dataclass
from functools import partial
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ademxapp.engine.torch.operators import Attributes, Pass, Run, known, rule

Slots = Dict[int, Tensor]
Statistics = Dict[str, Tuple[Tensor, float]]  # of BN's moving ones: the batch's, and how much of the old ones stays


class Step(NamedTuple):
    """A node: what it does, the places of its inputs and of its output, and the places that nobody reads afterwards."""

    run: Run
    inputs: Tuple[int, ...]
    output: int
    ended: Tuple[int, ...]
    statistics: Tuple[str, str, float]  # names of BN's moving mean and variance, and its momentum


@dataclass(frozen=True)
class Block:
    """Nodes in a row, which are run again in the backward pass together, or not.

    Attributes
    ----------
    inputs, outputs : tuple of int
        Places that it reads and that are read after it.
    """

    steps: Tuple[Step, ...]
    recomputed: bool
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]

    def __call__(self, how: Pass, *values: Tensor) -> Tuple[Tuple[Tensor, ...], Statistics]:
        """The outputs, and in training the statistics of the batch."""
        slots: Slots = dict(zip(self.inputs, values))
        statistics: Statistics = {}
        for step in self.steps:
            result = step.run(how, *[slots[place] for place in step.inputs])
            if isinstance(result, tuple):
                mean, var, momentum = step.statistics
                result, statistics[mean], statistics[var] = result[0], (result[1], momentum), (result[2], momentum)
            slots[step.output] = result
            for place in step.ended:
                del slots[place]
        return tuple(slots[place] for place in self.outputs), statistics


class Graph:
    """The outputs of a network.

    Parameters
    ----------
    text : str
        What a symbol's `tojson()` gives.
    training : bool
        Else without the labels, and what is computed of them.

    Attributes
    ----------
    variables : tuple of str
        Names of the inputs and parameters that it reads.
    dropouts : dict
        {name of a node: rate}
    """

    def __init__(self, text: str, training: bool = True) -> None:
        self._nodes = json.loads(text)["nodes"]
        heads = [place for place, *_ in json.loads(text)["heads"]]
        self._inputs = [self._read_by(node, training) for node in self._nodes]
        needed = self._needed(heads)
        self._variables = {place: self._nodes[place]["name"] for place in needed if self._nodes[place]["op"] == "null"}
        self.variables = tuple(self._variables.values())
        order = [place for place in needed if place not in self._variables]
        self.dropouts = {self._nodes[place]["name"]: self._attrs(place).get("p", 0.5) for place in order
                         if self._nodes[place]["op"] == "Dropout"}
        self._heads, self._blocks = heads, self._in_blocks(order, heads)

    def __call__(self, values: Dict[str, Tensor], how: Pass) -> Tuple[List[Tensor], Statistics]:
        """The outputs for the variables' values, and the batch's statistics where `how` is training with them."""
        slots: Slots = {place: values[name] for place, name in self._variables.items()}
        statistics: Statistics = {}
        for block, ended in self._blocks:
            inputs = [slots[place] for place in block.inputs]
            if block.recomputed and how.train and torch.is_grad_enabled():
                outputs, found = checkpoint(partial(block, how), *inputs, use_reentrant=False, preserve_rng_state=False)
            else:
                outputs, found = block(how, *inputs)
            del inputs
            slots.update(zip(block.outputs, outputs))
            statistics.update(found)
            for place in ended:
                del slots[place]
        return [slots[place] for place in self._heads], statistics

    @staticmethod
    def _read_by(node: Dict, training: bool) -> Tuple[int, ...]:
        inputs = [place for place, *_ in node["inputs"]]
        return tuple(inputs[:1] if node["op"] == "SoftmaxOutput" and not training else inputs)

    def _needed(self, heads: Sequence[int]) -> List[int]:
        found: Set[int] = set(heads)
        for place in reversed(range(len(self._nodes))):
            if place in found:
                found.update(self._inputs[place])
        return sorted(found)

    def _attrs(self, place: int) -> Attributes:
        node = self._nodes[place]
        return known({**node.get("param", {}), **node.get("attr", {}), **node.get("attrs", {})})

    def _in_blocks(self, order: Sequence[int], heads: Sequence[int]) -> List[Tuple[Block, Tuple[int, ...]]]:
        """The blocks, each with the places that nobody reads after it."""
        runs: List[Tuple[bool, List[int]]] = []
        for place in order:
            again = bool(self._attrs(place).get("__force_mirroring__", False))
            if not runs or runs[-1][0] != again:
                runs.append((again, []))
            runs[-1][1].append(place)
        last = {place: len(runs) for place in heads}  # the last run that reads a place
        for index, (_, places) in enumerate(runs):
            for place in places:
                last.update({other: max(index, last.get(other, 0)) for other in self._inputs[place]})
        blocks = []
        for index, (again, places) in enumerate(runs):
            read = {other for place in places for other in self._inputs[place]}
            outputs = [place for place in places if last[place] > index]
            inputs = sorted(read - set(places))
            ended = [place for place in [*inputs, *outputs] if last[place] == index]
            blocks.append((Block(self._steps(places, outputs), again, tuple(inputs), tuple(outputs)), tuple(ended)))
        return blocks

    def _steps(self, places: Sequence[int], outputs: Sequence[int]) -> Tuple[Step, ...]:
        last = {other: place for place in places for other in self._inputs[place]}
        steps = []
        for place in places:
            node, attrs = self._nodes[place], self._attrs(place)
            ended = tuple(other for other in dict.fromkeys(self._inputs[place])
                          if last[other] == place and other not in outputs)
            statistics = "", "", 0.0
            if node["op"] == "BatchNorm":
                mean, var = (self._nodes[other]["name"] for other in self._inputs[place][3:])
                statistics = mean, var, attrs.get("momentum", 0.9)
            steps.append(Step(rule(node["op"], node["name"], attrs), self._inputs[place], place, ended, statistics))
        return tuple(steps)
