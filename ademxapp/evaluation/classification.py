"""Probabilities of classes: their averages over views, the errors, and files of predictions."""
import numpy as np

from ademxapp.files import write_text

BEST = 5  # classes that are kept of each image
_HEADER = "image\tclass\tprobability\t" + "\t".join(f"class {place}\tprobability {place}" for place in
                                                    range(1, BEST + 1))


def average_views(begin, batches, most):
    """Mean probabilities of every image over its views.

    Parameters
    ----------
    begin : callable
        (N, 3, H, W) to a function that waits for their probabilities (N, classes): a batch is read while the one before
        it is in the network.
    batches : iterable of ndarray
        (images, views, 3, H, W).
    most : int
        Views per call of `begin`.

    Returns
    -------
    ndarray
        (all images, classes) float32.
    """
    means, begun = [], []
    for views in batches:
        inputs = views.reshape((-1,) + views.shape[2:])
        begun.append((views.shape[:2], [begin(inputs[i:i + most]) for i in range(0, len(inputs), most)]))
        if len(begun) > 1:
            means.append(_mean_of_views(*begun.pop(0)))
    return np.concatenate(means + [_mean_of_views(*one) for one in begun])


def _mean_of_views(shape, waits):
    probs = np.concatenate([wait() for wait in waits])
    return probs.reshape(shape + probs.shape[1:]).mean(1)


def top_errors(probs, class_ids, ks=(1, 5)):
    """Percentages of images whose class is not among the k most probable, for every k.

    An image whose class ties with others counts as wrong where the others alone fill the k places and come first.
    """
    hits = best_classes(probs) == np.asarray(class_ids)[:, None]
    return [100.0 * (1 - hits[:, :k].any(1).mean()) for k in ks]


def best_classes(probs):
    """Classes from the most probable on, (images, classes); of equals, the first."""
    return np.argsort(-probs, axis=1, kind="stable")


def write_predictions(path, samples, probs):
    """Write what was predicted: a line per image, with its class and that one's probability, and the best classes.

    Of samples whose class is not known (-1), the probability is empty.
    """
    lines = [_HEADER]
    for sample, row, order in zip(samples, probs, best_classes(probs)[:, :BEST]):
        known = f"{row[sample.class_id]:.6f}" if sample.class_id >= 0 else ""
        lines.append("\t".join([sample.image, str(sample.class_id), known]
                               + [f"{index}\t{row[index]:.6f}" for index in order]))
    write_text(path, "\n".join(lines) + "\n")


def read_predictions(path):
    """What `write_predictions` wrote: a list of (image, class, probability or None, [(class, probability), …])."""
    with open(path, encoding="utf-8") as source:
        header, *lines = source.read().split("\n")
    try:
        if header != _HEADER or lines.pop():
            raise ValueError
        return [_prediction(line.split("\t")) for line in lines]
    except ValueError:
        raise ValueError(f"{path} is no whole file of predictions: test again") from None


def _prediction(fields):
    image, class_id, known, *best = fields
    return image, int(class_id), float(known) if known else None, [
        (int(index), float(value)) for index, value in zip(best[::2], best[1::2])]


def write_entry(path, probs, numbers):
    """Write an entry for ILSVRC's server: a line per image with the five best classes' numbers, the best first.

    `numbers` are the server's of our classes. (The development kit's readme, "Submission format", task 1.)
    """
    write_text(path, "".join(" ".join(str(numbers[index]) for index in order) + "\n"
                             for order in best_classes(probs)[:, :BEST]))
