"""What damages files: functions of a bytearray and a `random.Random`, and the limits of the process that reads them."""
import random
import resource
import signal
import struct

LIMIT, SECONDS = 2 ** 30, 2
NUMBERS = (0, 1, 2, 3, 33, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 62, 2 ** 63, 2 ** 64 - 1)
SIDES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 10_000, 16_384, 65_000)


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
    start = rng.choice((0, 8, 16, 24, 28, 32, 36, 44, rng.randrange(1 + len(data) // 4) * 4))
    if start + 8 <= len(data):
        struct.pack_into(form, data, start, rng.choice(NUMBERS) % 256 ** struct.calcsize(form))


MUTATIONS = (flip_bits, flip_headers, cut, take_out, put_in, set_number)


def generator(*what):
    """A `random.Random` of its own for a mutant."""
    return random.Random(" ".join(map(str, what)))


def limit_memory():
    """From here on, what needs more than 1 GiB is a MemoryError; the libraries' code does not count."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def limit_time(seconds=SECONDS):
    """The process ends after that many seconds of work, on a busy machine too; 0 takes the limit away.

    By the clock it may take thirty times as long, so that waiting for ever is found as well.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(30 * seconds)
