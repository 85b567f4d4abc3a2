"""Writes engines.npz: what MXNet makes of every network, for the other engine to be held against.

    python tests/golden/make_engines.py

Probabilities, and random sums of the gradients, of every network at a narrow width with fixed statistics and without
dropout; losses and random sums of the changes after 20 updates of each optimiser; one update with the
batch's statistics (tests/helpers/engine_cases.py).
"""
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parents[1]), str(HERE.parent / "helpers")]


def main():
    import engine_cases

    from ademxapp import engine
    mxnet, found = engine.load("mxnet"), {}
    for name in engine_cases.cases():
        found.update({f"{name}/{key}": value for key, value in engine_cases.numbers(mxnet, name).items()})
    for optimizer in engine_cases.RATES:
        found.update({f"{optimizer}/{key}": value for key, value in engine_cases.trained(mxnet, optimizer).items()})
    found.update({f"normalised/{key}": value for key, value in engine_cases.normalised(mxnet).items()})
    np.savez_compressed(HERE / "engines.npz", **found)


if __name__ == "__main__":
    main()
