"""Reading, forward pass and what follows it, side by side."""
import collections
from concurrent.futures import ThreadPoolExecutor


def overlapped(items, read, forward, finish, workers=1, finishers=1):
    """`finish(forward(read(item)))` of every item, in order.

    `read` and `finish` run in threads (`workers`, `finishers`), ahead of and behind `forward`, which runs here: the
    network is not thread safe. An exception of any of them ends the iteration.
    """
    readers, others = ThreadPoolExecutor(workers), ThreadPoolExecutor(finishers)
    waiting, reading, finishing = iter(items), collections.deque(), collections.deque()
    try:
        while True:
            while len(reading) <= workers:
                item = next(waiting, readers)
                if item is readers:
                    break
                reading.append(readers.submit(read, item))
            if not reading:
                break
            finishing.append(others.submit(finish, forward(reading.popleft().result())))
            while len(finishing) > finishers + 1:
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()
    finally:
        for future in (*reading, *finishing):
            future.cancel()
        readers.shutdown()
        others.shutdown()
