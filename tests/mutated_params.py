"""Reads damaged .params files: python tests/mutated_params.py FOLDER COUNT SEED. Run by test_weights.py.

The process may have 1 GiB and each file 2 s; it ends with another status than 0 if a file is neither read nor refused
with one clear line. It prints how many were read and how many refused.
"""
import random
import resource
import signal
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ademxapp.deploy.params import read_params  # noqa: E402

LIMIT, SECONDS = 2 ** 30, 2
NUMBERS = (0, 1, 2, 3, 33, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 62, 2 ** 63, 2 ** 64 - 1)


def flip_bits(data, rng):
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_headers(data, rng):
    """As flip_bits, in the first bytes, where the lengths are."""
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(min(80, len(data)))] ^= 1 << rng.randrange(8)


def cut(data, rng):
    del data[rng.randrange(len(data)):]


def take_out(data, rng):
    start = rng.randrange(len(data))
    del data[start:start + rng.randrange(1, 64)]


def put_in(data, rng):
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.getrandbits(8 * 16).to_bytes(16, "little")


def set_number(data, rng):
    """Another number, often a huge one, where a count, a length or a dimension may stand."""
    form = rng.choice(("<I", "<Q"))
    start = rng.choice((0, 8, 16, 24, 28, 32, 36, 44, rng.randrange(len(data) // 4) * 4))
    if start + 8 <= len(data):
        struct.pack_into(form, data, start, rng.choice(NUMBERS) % 256 ** struct.calcsize(form))


MUTATIONS = (flip_bits, flip_headers, cut, take_out, put_in, set_number)


def main(folder, count, seed):
    sources = [path.read_bytes() for path in sorted(Path(folder).glob("*.params"))]
    target, rng, outcomes = Path(folder, "mutant"), random.Random(int(seed)), [0, 0]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))  # from here on: a MemoryError ends the process
    for number in range(int(count)):
        data = bytearray(sources[number % len(sources)])
        MUTATIONS[number // len(sources) % len(MUTATIONS)](data, rng)
        target.write_bytes(data)
        signal.alarm(SECONDS)  # ends the process
        try:
            outcomes[not read_params(target)] += 1
        except ValueError as error:
            assert f"{target} is no whole .params file" in str(error) and "\n" not in str(error), error
            outcomes[1] += 1
        signal.alarm(0)
    print(*outcomes)


if __name__ == "__main__":
    main(*sys.argv[1:])
