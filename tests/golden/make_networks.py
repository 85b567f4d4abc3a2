"""Writes networks.json: names and shapes of every network's parameters, at full width with 1,000 classes (CIFAR 10).

    python tests/golden/make_networks.py

Run it only when a network is meant to change: the names are what saved parameters are found by.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[0] = str(HERE.parents[1])


def parameters(name):
    """{parameter: shape} of a network's classifier, moving statistics included, in the order of the symbol."""
    from ademxapp.symbol import classification_symbol, network
    from ademxapp.weights.parameters import parameter_shapes
    crop = network(name).input.train_crop
    arguments, statistics = parameter_shapes(classification_symbol(f"x_{name}_cls{10 if crop == 32 else 1000}"),
                                             data=(1, 3, crop, crop))
    return {key: list(shape) for key, shape in {**arguments, **statistics}.items()}


def main():
    from ademxapp.symbol import known_networks
    lines = [f"{json.dumps(name)}: {json.dumps(parameters(name), separators=(',', ':'))}" for name in known_networks()]
    (HERE / "networks.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
