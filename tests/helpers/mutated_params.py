"""Reads damaged .params files: python tests/helpers/mutated_params.py FOLDER COUNT SEED. Run by test_weights.py.

The process may have 1 GiB and each file 2 s; it ends with another status than 0 if a file is neither read nor refused
with one clear line. It prints how many were read and how many refused.
"""
import random
import resource
import sys
from pathlib import Path

from mutated_bytes import LIMIT, MUTATIONS, limit_time

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ademxapp.weights.parameters import read_params  # noqa: E402


def main(folder, count, seed):
    sources = [path.read_bytes() for path in sorted(Path(folder).glob("*.params"))]
    target, rng, outcomes = Path(folder, "mutant"), random.Random(int(seed)), [0, 0]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))  # from here on: a MemoryError ends the process
    for number in range(int(count)):
        data = bytearray(sources[number % len(sources)])
        MUTATIONS[number // len(sources) % len(MUTATIONS)](data, rng)
        target.write_bytes(data)
        limit_time()
        try:
            outcomes[not read_params(target)] += 1
        except ValueError as error:
            assert f"{target} is no whole .params file" in str(error) and "\n" not in str(error), error
            outcomes[1] += 1
        limit_time(0)
    print(*outcomes)


if __name__ == "__main__":
    main(*sys.argv[1:])
