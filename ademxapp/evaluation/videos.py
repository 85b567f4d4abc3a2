"""Predictions for videos: an overlay video with the classes' names, and a table with a row for each frame."""
import contextlib
import os
from typing import Any, Callable, Iterator, List, Sequence, TextIO, Tuple

import numpy as np
from tqdm import tqdm

from ademxapp.data.images import stem
from ademxapp.data.photographs import Video, VideoWriter
from ademxapp.evaluation.pictures import captioned_grid, labels_over, legend_height
from ademxapp.evaluation.pipeline import overlapped

LEGEND_SHARE = 0.5  # of a frame's height, which its legend takes at most


def video_outputs(place: str, segmentation: bool) -> Tuple[str, ...]:
    """The files that are written for a video: the table and, of segmentation, the overlay; `place`: how they start."""
    return (f"{place}_frames.tsv", f"{place}_overlay.mp4")[:1 + segmentation]


def segment_video(video: Video, place: str, labels_of: Callable[[np.ndarray], np.ndarray], class_names: Sequence[str],
                  colours: np.ndarray) -> Tuple[int, np.ndarray]:
    """Write <place>_overlay.mp4, without sound, and <place>_frames.tsv, the classes' percent of each frame.

    Where it is interrupted, what is done stays beside them, as `*.unfinished.*`.

    Parameters
    ----------
    labels_of : callable
        From pixels (H, W, 3) uint8 to class indices (H, W) uint8.
    class_names : sequence of str
    colours : ndarray
        (256, 3) uint8, by class index.

    Returns
    -------
    int
        The number of frames.
    ndarray
        The mean shares of the classes, (classes,).

    Raises ValueError or OSError, which name the file, if it cannot be read or the results cannot be written.
    """
    total = np.zeros(len(class_names))

    def finish(item: Tuple[float, np.ndarray, np.ndarray]) -> Tuple[float, np.ndarray, np.ndarray]:
        seconds, image, labels = item
        shares = np.bincount(labels.ravel(), minlength=len(class_names)) / labels.size
        return seconds, shares, _frame(image, labels, class_names, colours, f"{stem(video.path)} {seconds:.2f} s")

    count, (table_path, _) = 0, video_outputs(place, True)
    with _table(table_path, ["frame", "seconds", *class_names]) as table, \
            VideoWriter(f"{place}_overlay", video.rate) as overlay:
        for seconds, shares, frame in _frames(video, labels_of, finish, "segmenting"):
            overlay.write(frame)
            _row(table, [str(count), f"{seconds:.3f}", *(f"{100 * share:.2f}" for share in shares)])
            total, count = total + shares, count + 1
    return count, total / count


def classify_video(video: Video, place: str, probabilities_of: Callable[[np.ndarray], np.ndarray],
                   class_names: Sequence[str]) -> Tuple[int, np.ndarray]:
    """Write <place>_frames.tsv: the most probable class of each frame; arguments and results as of `segment_video`.

    `probabilities_of` gives (classes,) of pixels; the means are of the probabilities.
    """
    total, count = np.zeros(len(class_names)), 0
    with _table(video_outputs(place, False)[0], ["frame", "seconds", "class", "percent"]) as table:
        for seconds, _, found in _frames(video, probabilities_of, lambda item: item, "classifying"):
            best = int(np.argmax(found))
            _row(table, [str(count), f"{seconds:.3f}", class_names[best], f"{100 * found[best]:.2f}"])
            total, count = total + found, count + 1
    return count, total / count


def _frames(video: Video, predict: Callable[[np.ndarray], Any], finish: Callable[[Any], Any], what: str
            ) -> Iterator[Any]:
    """`finish((seconds, pixels, predict(pixels)))` of every frame, in order, with a progress bar."""
    results = overlapped(video, lambda frame: frame, lambda frame: (*frame, predict(frame[1])), finish)
    with contextlib.closing(results), tqdm(total=video.frames or None, unit="frame", desc=what, disable=None) as bar:
        for result in results:
            yield result
            bar.update()


def _frame(image: np.ndarray, labels: np.ndarray, class_names: Sequence[str], colours: np.ndarray, caption: str
           ) -> np.ndarray:
    """A frame of the overlay. Its size depends on the frame's and on all the classes, as those of a video are one."""
    legend = [(tuple(colours[index]), class_names[index]) for index in np.unique(labels)]
    height, width = labels.shape
    foot = min(legend_height(class_names, width), int(LEGEND_SHARE * height))
    return captioned_grid([labels_over(image, labels, colours)], [caption], 1, legend, foot)


@contextlib.contextmanager
def _table(path: str, columns: List[str]) -> Iterator[TextIO]:
    """A table that is written row by row, `*.unfinished.tsv` until it is whole; so it stays where it is interrupted."""
    unfinished = f"{os.path.splitext(path)[0]}.unfinished.tsv"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(unfinished, "w", encoding="utf-8", buffering=1) as table:
        _row(table, columns)
        yield table
    os.replace(unfinished, path)


def _row(table: TextIO, fields: List[str]) -> None:
    table.write("\t".join(fields) + "\n")
