"""A worker of the jobs in test_launch.py: trains on its shard of every batch and saves what came out.

    python tools/launch.py -n 2 tests/helpers/dist_worker.py TASK FOLDER
"""
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]
from ademxapp import backend  # noqa: E402

backend.prepare()
from small_runs import shard, train  # noqa: E402

from ademxapp.backend import mx  # noqa: E402
from ademxapp.engine.mxnet.module import Workers  # noqa: E402
from ademxapp.weights.parameters import save_parameters  # noqa: E402

task, folder = sys.argv[1:]
with Workers() as workers:
    done = train(os.path.join(folder, f"run{workers.rank}"), task, shard(task, workers.rank, workers.count), 1, workers)
    save_parameters(os.path.join(folder, f"{workers.rank}.params"), done)
    mx.nd.save(os.path.join(folder, f"{workers.rank}.random"), mx.nd.random.uniform(shape=4))
