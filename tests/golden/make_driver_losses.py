"""Writes driver_losses.json: what the drivers log on MXNet, for the other engine to be held against.

    python tests/golden/make_driver_losses.py

The losses of every report in the first epoch, without dropout (tests/helpers/driver_losses.py).
"""
import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "helpers")]


def main():
    import driver_losses

    from ademxapp import engine
    engine.load("mxnet")
    found = {}
    for task in driver_losses.RUNS:
        with tempfile.TemporaryDirectory() as folder:
            found[task] = driver_losses.losses(task, folder)
    (HERE / "driver_losses.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
