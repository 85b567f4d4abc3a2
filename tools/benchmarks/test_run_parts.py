"""A process that runs a driver to its first batch, and times forward passes of that: what `test_run` compares with.

It is given the number of passes, the driver's module and its arguments, and prints when the first batch was ready (by
the monotonic clock) and how many seconds the passes took.
"""
import json
import os
import sys
import time
from importlib import import_module

import numpy as np

from ademxapp.engine.mxnet.predictor import Predictor

REST = 0.5  # seconds until readers that are ahead have come to rest


def main(passes: str, module: str, *arguments: str) -> None:
    """Run the driver, with a predictor that ends the process."""
    begin = Predictor.begin

    def timed(self: Predictor, data: np.ndarray) -> None:
        first_batch = time.monotonic()
        time.sleep(REST)
        start = time.monotonic()
        for _ in range(int(passes)):
            begin(self, data)()
        print(json.dumps({"first_batch": first_batch, "forward": time.monotonic() - start}), flush=True)
        os._exit(0)

    Predictor.begin = timed
    import_module(module).main(list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
