"""Predictions for videos: an overlay video with the classes' names, and a table with a row for each frame."""
import contextlib
import os
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from ademxapp.data.images import stem
from ademxapp.data.photographs import Video, VideoWriter
from ademxapp.evaluation.pictures import captioned_grid, labels_over, legend_height
from ademxapp.processes import overlapped

LEGEND_SHARE = 0.5  # of a frame's height, which its legend takes at most


def video_outputs(place: str, segmentation: bool) -> Tuple[str, ...]:
    """The files that are written for a video: the table and, of segmentation, the overlay; `place`: how they start."""
    return (f"{place}_frames.tsv", f"{place}_overlay.mp4")[:1 + segmentation]


def segment_video(video: Video, place: str, labels_of: Callable[[np.ndarray], np.ndarray], class_names: Sequence[str],
                  colours: np.ndarray) -> Tuple[int, np.ndarray]:
    """Write <place>_overlay.mp4, without sound, and <place>_frames.tsv, the classes' percent of each frame.

    Where it is interrupted, what is done stays beside them, as `*.unfinished.*`. `labels_of` gives class indices (H, W)
    uint8 of pixels (H, W, 3) uint8; `colours` are (256, 3) uint8, by class index. The number of frames, and the mean
    shares of the classes, (classes,).

    Raises ValueError or OSError, which name the file, if it cannot be read or the results cannot be written.
    """
    def finish(item: Tuple[float, np.ndarray, np.ndarray]) -> Tuple[float, np.ndarray, List[str], np.ndarray]:
        seconds, image, labels = item
        shares = np.bincount(labels.ravel(), minlength=len(class_names)) / labels.size
        legend = [(tuple(colours[index]), class_names[index]) for index in np.unique(labels)]
        height, width = labels.shape  # frames must have one size: room is left for all classes
        foot = min(legend_height(class_names, width), int(LEGEND_SHARE * height))
        caption = f"{stem(video.path)} {seconds:.2f} s"
        frame = captioned_grid([labels_over(image, labels, colours)], [caption], 1, legend, foot)
        return seconds, shares, [f"{100 * share:.2f}" for share in shares], frame

    overlay = VideoWriter(f"{place}_overlay", video.rate)
    return _each_frame(video, place, labels_of, finish, class_names, "segmenting", overlay)


def classify_video(video: Video, place: str, probabilities_of: Callable[[np.ndarray], np.ndarray],
                   class_names: Sequence[str]) -> Tuple[int, np.ndarray]:
    """Write <place>_frames.tsv: the most probable class of each frame; arguments and results as of `segment_video`.

    `probabilities_of` gives (classes,) of pixels; the means are of the probabilities.
    """
    def finish(item: Tuple[float, np.ndarray, np.ndarray]) -> Tuple[float, np.ndarray, List[str], None]:
        seconds, _, found = item
        best = int(np.argmax(found))
        return seconds, found, [class_names[best], f"{100 * found[best]:.2f}"], None

    return _each_frame(video, place, probabilities_of, finish, ("class", "percent"), "classifying")


def _each_frame(video: Video, place: str, predict: Callable[[np.ndarray], np.ndarray], finish: Callable[[Any], Any],
                columns: Sequence[str], what: str, overlay: Optional[VideoWriter] = None) -> Tuple[int, np.ndarray]:
    """Write every frame, in order, and a row of the table; the number of frames, and the means of their values.

    `finish((seconds, pixels, predict(pixels)))` gives seconds, values, cells of the row, and the overlay's frame. The
    table is `*.unfinished.tsv` until all is whole, so that it stays where it is interrupted.
    """
    path, = video_outputs(place, False)
    unfinished = f"{os.path.splitext(path)[0]}.unfinished.tsv"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    results = overlapped(video, lambda frame: frame, lambda frame: (*frame, predict(frame[1])), finish)
    total, count = np.zeros(1), 0
    with contextlib.closing(results), overlay or contextlib.nullcontext(), \
            open(unfinished, "w", encoding="utf-8", buffering=1) as table:
        table.write("\t".join(("frame", "seconds", *columns)) + "\n")
        for seconds, values, cells, frame in tqdm(results, total=video.frames or None, unit="frame", desc=what,
                                                  disable=None):
            if overlay:
                overlay.write(frame)
            table.write("\t".join((str(count), f"{seconds:.3f}", *cells)) + "\n")
            total, count = total + values, count + 1
    os.replace(unfinished, path)
    return count, total / count
