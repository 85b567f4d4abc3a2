"""Top-1 and top-5 errors."""
import numpy as np


def average_views(predict, batches, views):
    """Mean probabilities of every image over its views.

    Parameters
    ----------
    predict : callable
        (N, 3, H, W) to probabilities (N, classes).
    batches : iterable of ndarray
        Views of the images in order, `views` in a row for each image.

    Returns
    -------
    ndarray
        (images, classes) float32.
    """
    probs = np.concatenate([predict(batch) for batch in batches])
    return probs.reshape(-1, views, probs.shape[1]).mean(1)


def top_errors(probs, class_ids, ks=(1, 5)):
    """Percentages of images whose class is not among the k most probable, for every k.

    An image whose class ties with others counts as wrong where the others alone fill the k places and come first.
    """
    order = np.argsort(-probs, axis=1, kind="stable")
    hits = order == np.asarray(class_ids)[:, None]
    return [100.0 * (1 - hits[:, :k].any(1).mean()) for k in ks]
