"""Probabilities of classes: their averages over views, the errors, and files of predictions."""
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp.data.samples import Sample
from ademxapp.files import write_text

Prediction = Tuple[str, int, Optional[float], List[Tuple[int, float]]]
BEST = 5  # classes that are kept of each image
SORTED_VALUES = 2 ** 20  # probabilities at a time: their order takes more memory than they
_HEADER = "image\tclass\tprobability\t" + "\t".join(f"class {place}\tprobability {place}" for place in
                                                    range(1, BEST + 1))


def view_means(begin: Callable[[np.ndarray], Callable[[], np.ndarray]], batches: Iterable[np.ndarray],
               most: int) -> Iterator[np.ndarray]:
    """Mean probabilities (images, classes) float32 over the views of its images, of every batch in turn.

    Parameters
    ----------
    begin : callable
        (N, 3, H, W) to a function that waits for their probabilities (N, classes): a batch is read while the one before
        it is in the network.
    batches : iterable of ndarray
        (images, views, 3, H, W).
    most : int
        Views per call of `begin`.
    """
    begun: List[Tuple[Tuple[int, ...], List[Callable[[], np.ndarray]]]] = []
    for views in batches:
        inputs = views.reshape((-1,) + views.shape[2:])
        begun.append((views.shape[:2], [begin(inputs[i:i + most]) for i in range(0, len(inputs), most)]))
        if len(begun) > 1:
            yield _mean_of_views(*begun.pop(0))
    for one in begun:
        yield _mean_of_views(*one)


def _mean_of_views(shape: Tuple[int, ...], waits: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
    probs = np.concatenate([wait() for wait in waits])
    return probs.reshape(shape + probs.shape[1:]).mean(1)


def mean_of_passes(passes: Iterable[Iterable[np.ndarray]], images: int) -> np.ndarray:
    """Mean probabilities (images, classes) float32 of passes over the same images, each of which comes in parts.

    No pass is held as a whole: 50,000 images of 1,000 classes are 200 MB.
    """
    total: Optional[np.ndarray] = None
    count = 0
    for parts in passes:
        first, count = 0, count + 1
        for part in parts:
            if total is None:
                total = np.zeros((images, part.shape[1]), np.float32)
            total[first:first + len(part)] += part
            first += len(part)
    assert total is not None
    total /= count
    return total


def top_errors(probs: np.ndarray, class_ids: Sequence[int], ks: Sequence[int] = (1, 5)) -> List[float]:
    """Percentages of images whose class is not among the k most probable, for every k.

    An image whose class ties with others counts as wrong where the others alone fill the k places and come first.
    """
    hits = best_classes(probs, max(ks)) == np.asarray(class_ids)[:, None]
    return [100.0 * (1 - hits[:, :k].any(1).mean()) for k in ks]


def best_classes(probs: np.ndarray, count: int = BEST) -> np.ndarray:
    """The `count` most probable classes from the best on, (images, count) or fewer; of equals, the first."""
    rows = max(1, SORTED_VALUES // probs.shape[1])
    return np.concatenate([np.argsort(-probs[first:first + rows], axis=1, kind="stable")[:, :count].copy()
                           for first in range(0, len(probs), rows)])


def write_predictions(path: str, samples: Iterable[Sample], probs: np.ndarray) -> None:
    """Write what was predicted: a line per image, with its class and that one's probability, and the best classes.

    Of samples whose class is not known (-1), the probability is empty.
    """
    lines = [_HEADER]
    for sample, row, order in zip(samples, probs, best_classes(probs)):
        known = f"{row[sample.class_id]:.6f}" if sample.class_id >= 0 else ""
        lines.append("\t".join([sample.image, str(sample.class_id), known]
                               + [f"{index}\t{row[index]:.6f}" for index in order]))
    write_text(path, "\n".join(lines) + "\n")


def read_predictions(path: str) -> List[Prediction]:
    """What `write_predictions` wrote: a list of (image, class, probability or None, [(class, probability), …])."""
    with open(path, encoding="utf-8", errors="surrogateescape") as source:
        header, *lines = source.read().split("\n")
    try:
        if header != _HEADER or lines.pop():
            raise ValueError
        return [_prediction(line.split("\t")) for line in lines]
    except ValueError:
        raise ValueError(f"{path} is no whole file of predictions: test again") from None


def _prediction(fields: Sequence[str]) -> Prediction:
    image, class_id, known, *best = fields
    return image, int(class_id), float(known) if known else None, [
        (int(index), float(value)) for index, value in zip(best[::2], best[1::2])]


def write_entry(path: str, probs: np.ndarray, numbers: Sequence[int]) -> None:
    """Write an entry for ILSVRC's server: a line per image with the five best classes' numbers, the best first.

    `numbers` are the server's of our classes. (The development kit's readme, "Submission format", task 1.)
    """
    write_text(path, "".join(" ".join(str(numbers[index]) for index in order) + "\n"
                             for order in best_classes(probs)))
