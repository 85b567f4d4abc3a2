"""What tools/predict.py does with images and videos, and the files that it writes."""
import contextlib
import json
import logging
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp.data.images import stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import Video, is_video, read_upright
from ademxapp.errors import UsageError, one_line
from ademxapp.evaluation.classification import best_classes, write_predictions
from ademxapp.evaluation.dense import label_map
from ademxapp.evaluation.pictures import captioned_grid
from ademxapp.evaluation.pipeline import overlapped
from ademxapp.evaluation.videos import classify_video, segment_video, video_outputs
from ademxapp.files import replacing, write_json
from iclass.classifier import Classifier
from issegm.segmenter import Segmenter

WHOLE = 0.98  # share of the frames that a video announces; some count a few too many
TOLD = 0.005  # smallest share of the pixels of a class that is printed
LONGEST_SIDE = 65_000  # of a JPEG, less the overlay's border
PREDICTIONS, MANIFEST = "predictions.tsv", "predict.json"


class Items:
    """What is told of single items that cannot be read or written, while the others go on; `failed`: their paths."""

    def __init__(self, log: logging.Logger) -> None:
        self.failed: List[str] = []
        self._log = log

    @contextlib.contextmanager
    def told(self, sample: Sample) -> Iterator[None]:
        """Log a ValueError or an OSError of the block, and go on behind it."""
        try:
            yield
        except (ValueError, OSError) as error:
            self._log.error("left out: %s", one_line(error))
            self.failed.append(sample.image_path)


# Files


def outputs(sample: Sample, folder: str, segmentation: bool = True) -> Tuple[str, ...]:
    """The files of a sample alone: of segmentation, label image and overlay; of a video its own."""
    path = os.path.join(folder, stem(sample.image))
    if is_video(sample.image):
        return video_outputs(path, segmentation)
    return (f"{path}.png", f"{path}_overlay.jpg") if segmentation else ()


def twins_of(samples: Sequence[Sample], folder: str, segmentation: bool) -> Dict[Sample, str]:
    """The samples whose results would replace those of an earlier one, each with the reason.

    UsageError if a result would replace one of the images.
    """
    images, taken, twins = {os.path.realpath(sample.image_path) for sample in samples}, {}, {}
    for sample in samples:
        paths = [os.path.realpath(path) for path in outputs(sample, folder, segmentation)]
        for path in paths:
            if path in images:
                raise UsageError(f"the result of {sample.image_path} would replace the image {path}: --out DIR names "
                                 "another folder")
        other = next((taken[path] for path in paths if path in taken), None)
        if other is None:
            taken.update(dict.fromkeys(paths, sample.image_path))
        else:
            twins[sample] = (f"the results of {other} and {sample.image_path} would be one file: predict the second "
                             "apart, with an --out of its own")
    return twins


def written(samples: Sequence[Sample], folder: str, segmentation: bool) -> List[str]:
    """The files of results that will be written."""
    together = [] if segmentation or all(is_video(sample.image) for sample in samples) else [PREDICTIONS]
    return [*(os.path.join(folder, name) for name in together),
            *(path for sample in samples for path in outputs(sample, folder, segmentation))]


def require_own_files(folder: str, paths: Sequence[str], overwrite: bool) -> None:
    """Note in the folder which files are this program's; UsageError for one that is there and is not, unless
    `overwrite`.
    """
    manifest, earlier = os.path.join(folder, MANIFEST), set()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        with open(manifest, encoding="utf-8") as source:
            earlier = set(json.load(source)["written"])
    names = {os.path.relpath(path, folder): path for path in paths}
    foreign = [path for name, path in names.items() if name not in earlier and os.path.isfile(path)]
    if foreign and not overwrite:
        raise UsageError(f"{foreign[0]} is there, and is not of an earlier prediction ({len(foreign)} such files in "
                         "all): --out DIR names another folder, --overwrite replaces them")
    write_json(manifest, {"written": sorted({*earlier, *names})})


def read_image(sample: Sample) -> np.ndarray:
    """An image's pixels, upright, (H, W, 3) uint8; ValueError or OSError, which names it, if it cannot be used."""
    try:
        sample.image_path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{sample.image_path!r}: the name is not UTF-8, and cannot stand in results: rename it"
                         ) from None
    return read_upright(sample.image_path)


# Tasks


def segment(network: Segmenter, samples: Sequence[Sample], out: str, items: Items) -> None:
    """Write label images and overlays, and print the classes' shares."""
    record = network.record

    def read(sample: Sample) -> Optional[Tuple[Sample, np.ndarray, Dict[int, np.ndarray]]]:
        with items.told(sample):
            image = read_image(sample)
            if max(image.shape) > LONGEST_SIDE:
                raise ValueError(f"{sample.image_path} has {image.shape[1]}x{image.shape[0]} pixels, wanted sides of "
                                 f"at most {LONGEST_SIDE}: cut it first")
            return sample, image, network.prepare(sample, image)
        return None

    def forward(item: Any) -> Any:
        if item is not None:
            with items.told(item[0]):
                return *item[:2], network.score_maps(*item)
        return None

    def finish(item: Any) -> Optional[Tuple[Sample, np.ndarray]]:
        if item is None:
            return None
        sample, image, score_maps = item
        with items.told(sample):
            labels = label_map(score_maps)
            write_segmented(sample, image, labels, network, out)
            return sample, np.bincount(labels.ravel(), minlength=record.classes) / labels.size
        return None

    results = overlapped(samples, read, forward, finish)
    for result in tqdm(results, total=len(samples), unit="image", desc="segmenting", disable=None):
        if result is not None:
            sample, shares = result
            tqdm.write(f"{sample.image_path}: {largest(shares, record.class_names)}")


def largest(shares: np.ndarray, names: Sequence[str]) -> str:
    """The classes with a share that is worth to be told, the largest first."""
    return ", ".join(f"{names[index]} {100 * shares[index]:.1f} %" for index in np.argsort(-shares)
                     if shares[index] >= TOLD)


def write_segmented(sample: Sample, image: np.ndarray, labels: np.ndarray, network: Segmenter, folder: str) -> None:
    """Write a label image and an overlay with the classes' names."""
    record, colours = network.record, network.colours
    label_path, overlay_path = outputs(sample, folder)
    write_png(label_path, record.to_label_ids(labels), record.palette)
    legend = [(colours[index], record.class_names[index]) for index in np.unique(labels)]
    overlay = captioned_grid([network.overlay(image, labels)], [stem(sample.image)], 1, legend)
    with replacing(overlay_path) as temporary:
        Image.fromarray(overlay).save(temporary, format="JPEG", quality=92)


def classify(network: Classifier, samples: Sequence[Sample], out: str, top: int, items: Items) -> None:
    """Print the `top` best classes of every image, and write all of them."""
    def read(sample: Sample) -> Optional[Tuple[Sample, Dict[int, np.ndarray]]]:
        with items.told(sample):
            return sample, network.prepare(read_image(sample), sample.image_path)
        return None

    def forward(item: Any) -> Optional[Tuple[Sample, np.ndarray]]:
        if item is not None:
            with items.told(item[0]):
                return item[0], network.of_prepared([item[1]], [item[0].image_path])[0]
        return None

    results = tqdm(overlapped(samples, read, forward, lambda item: item), total=len(samples), unit="image",
                   desc="classifying", disable=None)
    found = [result for result in results if result is not None]
    if not found:
        return
    used, probs = [sample for sample, _ in found], np.stack([row for _, row in found])
    write_predictions(os.path.join(out, PREDICTIONS), used, probs)
    for sample, row, order in zip(used, probs, best_classes(probs, top)):
        print(sample.image_path)
        for index in order:
            print(f"  {100 * row[index]:5.1f} %  {network.class_names[index]}")


def predict_videos(network: Union[Segmenter, Classifier], videos: Sequence[Sample], out: str, items: Items) -> None:
    """Write the table of each video and, of segmentation, its overlay; print the means over its frames."""
    for sample in videos:
        stem_path = os.path.join(out, stem(sample.image))
        with items.told(sample):
            video = Video(sample.image_path)
            if isinstance(network, Segmenter):
                frames, means = segment_video(video, stem_path, network.predict, network.class_names,
                                              network.colours)
            else:
                frames, means = classify_video(video, stem_path, network.predict, network.class_names)
            less = f" of {video.frames} that it announces (is it whole?)" if frames < WHOLE * video.frames else ""
            print(f"{sample.image_path}: {frames} frames{less}, on average {largest(means, network.class_names)}")
