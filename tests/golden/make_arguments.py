"""Writes arguments.json: what runs record of their arguments, in state.json and result.json.

    python tests/golden/make_arguments.py

Run it only when a recorded argument is meant to change: older results and snapshots are read by these names.
"""
import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:1] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "helpers")]


def main():
    from recorded import CASES, make_world, recorded
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_world()
        found = {name: recorded(*case) for name, case in CASES.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(arguments)}" for name, arguments in found.items()]
    (HERE / "arguments.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
