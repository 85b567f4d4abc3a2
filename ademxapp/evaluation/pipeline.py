"""Reading, forward pass and what follows it, side by side."""
import collections
from concurrent.futures import ThreadPoolExecutor


def overlapped(items, read, forward, finish, workers=1):
    """`finish(forward(read(item)))` of every item, in order.

    `read` and `finish` run in threads, ahead of and behind `forward`, which runs here: the network is not thread safe.
    An exception of any of them ends the iteration.
    """
    pool = ThreadPoolExecutor(workers + 1)
    waiting, reading, finishing = iter(items), collections.deque(), collections.deque()
    try:
        while True:
            while len(reading) <= workers:
                item = next(waiting, pool)
                if item is pool:
                    break
                reading.append(pool.submit(read, item))
            if not reading:
                break
            finishing.append(pool.submit(finish, forward(reading.popleft().result())))
            while len(finishing) > workers + 1:
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()
    finally:
        for future in (*reading, *finishing):
            future.cancel()
        pool.shutdown()
