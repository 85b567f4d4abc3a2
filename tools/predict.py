"""Segment or classify photographs and videos: the network says which.

    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --test-flipping
    python tools/predict.py holiday/ 'more/*.jpg' --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --out seen
    python tools/predict.py street.jpg drive.mp4 --model cityscapes.onnx
    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --dtype int8

The third, with a file that tools/weights.py export wrote, needs onnxruntime and no MXNet. The fourth needs the ranges
that an earlier test with --dtype int8 at this scale keeps beside the weights, or images to measure them on.

Segmentation writes <out>/<image>.png, the dataset's label ids in its colours, and <out>/<image>_overlay.jpg, the
classes over the photograph, and prints the classes' shares of the pixels. Classification prints the most probable
classes and writes <out>/predictions.tsv. An image that cannot be used is named, and the others go on.

Of a video, <out>/<video>_frames.tsv has the classes' percent of each frame or, of classification, its best class;
segmentation writes <out>/<video>_overlay.mp4 as well, without sound. An interruption leaves what is done, to be played
and read, as *.unfinished.*. Videos in folders are left out: name them.

Photographs are turned as their cameras noted (EXIF orientation), as viewers show them, and so are the results; training
and tests take pixels as they are stored. Of animations the first picture counts. HEIC needs pillow-heif (the extra
heic), AVIF Pillow 11.3. What a folder has besides images is told.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.predict", needs_mxnet=False)

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import (
    UsageError,
    existing_file,
    make_parser,
    number,
    numbers,
    one_line,
)
from ademxapp.data.class_folders import some
from ademxapp.data.images import stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import find_photographs, is_video, read_upright
from ademxapp.deploy.onnx_model import OnnxModel
from ademxapp.evaluation.classification import best_classes, write_predictions
from ademxapp.evaluation.dense import label_map
from ademxapp.evaluation.pictures import captioned_grid
from ademxapp.evaluation.pipeline import overlapped
from ademxapp.evaluation.videos import classify_video, segment_video, video_outputs
from ademxapp.files import replacing, write_json
from ademxapp.flags import Settings, flag
from ademxapp.logs import library_versions, start_log
from ademxapp.settings import Data, Devices, Precision
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION
from iclass.classifier import Classifier
from iclass.datasets import described_record as classification_record
from issegm.datasets import described_record as segmentation_record
from issegm.segmenter import Segmenter

TOLD = 0.005  # smallest share of the pixels of a class that is printed
LONGEST_SIDE = 65_000  # of a JPEG, less the overlay's border
PREDICTIONS, MANIFEST = "predictions.tsv", "predict.json"
IN_FILE = ("gpus", "cpus", "dataset", "dataset_file", "pool_top_infer_style", "dtype",
           "calibrate_list", "data_root")  # flags that cannot change anything of an ONNX file


@dataclass(frozen=True)
class Images(Settings):
    """What is predicted, by which network, and what is written."""

    images: Tuple[str, ...] = flag("what to predict", (), positional=True, nargs="+", metavar="IMAGE|FOLDER|GLOB")
    weights: Optional[str] = flag(".params file, named by its label or beside its description", one_of="network",
                                  type=existing_file, metavar="FILE")
    model: Optional[str] = flag("file that tools/weights.py export wrote: runs without MXNet", one_of="network",
                                type=existing_file, metavar="ONNX")
    out: str = flag("folder of what is written", "predicted", metavar="DIR")
    overwrite: bool = flag("replace files in that folder that are not of an earlier prediction", False)
    dataset: Optional[str] = flag("whose classes the network has (default: as the weights or their label say)")
    dataset_file: Optional[str] = flag("a dataset that is not built in", type=existing_file, metavar="YAML")
    test_scales: Optional[Tuple[int, ...]] = flag(
        "lengths of the images' longer (segmentation) or shorter side (default: those that the weights were trained "
        "for or, if that is not known, the dataset's largest side, or the network's test crop)",
        type=numbers(int, 1, distinct=True), metavar="N,N,…")
    test_flipping: bool = flag("average with the mirrored image", False)
    window: Optional[int] = flag("segmentation: as of issegm/voc.py; an ONNX file for one size has windows of that "
                                 "size", type=number(int, 1), metavar="PIXELS")
    pool_top_infer_style: Optional[str] = flag("classification: as of iclass/ilsvrc.py", choices=("caffe", "full"))
    top: int = flag("classification: classes to print", 5, type=number(int, 1), metavar="N")
    debug: bool = flag("MXNet's naive engine, and tracebacks of errors", False)
    data_root: Optional[str] = flag("with --dtype int8: where that list's paths start (default: data/<dataset>)",
                                    metavar="DIR")


@dataclass(frozen=True)
class PredictionSettings(Precision, Devices, Images):
    """All that this program is asked for."""


@dataclass(frozen=True)
class CalibrationData(Precision, Data):
    """What INT8's ranges are measured on."""


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Predict all images, and end with an error if some could not be used."""
    asked = PredictionSettings.from_args(make_parser(__doc__, PredictionSettings).parse_args(argv))
    network = open_onnx(asked) if asked.model else open_weights(asked)
    segmentation = isinstance(network, Segmenter)
    samples, notes = find_images(asked.images)
    twins = twins_of(samples, asked.out, segmentation)
    require_own_files(asked.out, written(samples, asked.out, segmentation), asked.overwrite)
    log = start_log(os.path.join(asked.out, "predict.log"), versions(asked), asked.debug)
    for note in notes:
        log.info("%s", note)
    items = Items(log)
    for sample, reason in twins.items():
        with items.told(sample):
            raise ValueError(reason)
    network = network if asked.model else on_devices(asked, network, log)
    images, videos = ([sample for sample in samples if sample not in twins and is_video(sample.image) == moving]
                      for moving in (False, True))
    (segment if segmentation else classify)(asked, network, images, log, items)
    predict_videos(asked, network, videos, items)
    log.info("%d images, written to %s", len(samples) - len(items.failed), asked.out)
    if items.failed:
        raise ValueError(f"{len(items.failed)} of {len(samples)} images could not be used, as told above: "
                         f"{some(items.failed)}")


# The network


def open_weights(asked: PredictionSettings) -> Union[Segmenter, Classifier]:
    """The network of `--weights`, on no device yet; UsageError for what does not go with it."""
    if not asked.weights:
        raise UsageError("there is no network: wanted --weights FILE or --model ONNX")
    driver.checked_dtype(asked)
    try:
        known = describe(asked.weights)
        if known.task == SEGMENTATION:
            record = segmentation_record(known, asked.dataset, asked.dataset_file)
            return Segmenter.read(asked.weights, record=record, **how(asked, known.task))
        record = classification_record(known, asked.dataset, asked.dataset_file)
        return Classifier.read(asked.weights, record=record, pool_style=asked.pool_top_infer_style,
                               **how(asked, known.task))
    except ValueError as error:
        raise UsageError(str(error)) from None


def open_onnx(asked: PredictionSettings) -> Union[Segmenter, Classifier]:
    """The network of `--model`; ValueError if the file is none, UsageError for flags that are not for it."""
    idle = [f"--{name.replace('_', '-')}" for name in IN_FILE if getattr(asked, name) is not None]
    if idle:
        raise UsageError(f"{', '.join(idle)} with --model: an ONNX file says itself what its classes are, and runs on "
                         "the CPU")
    model = OnnxModel(asked.model)
    if asked.window and model.size:
        raise UsageError("--window with --model: {} takes inputs of {}x{} pixels only, which are its windows".format(
            asked.model, *model.size[::-1]))
    task, kind = model.description.task, Segmenter if model.description.task == SEGMENTATION else Classifier
    try:
        return kind.of_onnx(model, **how(asked, task))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise ValueError(f"{asked.model}: {error}") from None


def how(asked: PredictionSettings, task: str) -> Dict[str, Any]:
    """How images are tested: fields of `DenseTest` or `Views`."""
    if task == SEGMENTATION:
        return {"scales": asked.test_scales, "flipping": asked.test_flipping, "window": asked.window}
    if asked.window:
        raise UsageError("--window is for segmentation; this network classifies")
    return {"scales": asked.test_scales, "flipping": asked.test_flipping}


def on_devices(asked: PredictionSettings, network: Union[Segmenter, Classifier], log: logging.Logger
               ) -> Union[Segmenter, Classifier]:
    """The network, ready to run."""
    known, dataset = network.description, network.record.name
    data = CalibrationData(dataset=dataset, data_root=asked.data_root or os.path.join("data", dataset),
                           dtype=asked.dtype, calibrate_list=asked.calibrate_list)
    images = driver.calibration_images(data, known.task, known.classes, network.CALIBRATION_IMAGES,
                                       getattr(network.record, "folders", ()))
    return network.on(driver.devices(asked, log), driver.checked_dtype(asked).dtype, images)


def versions(asked: PredictionSettings) -> Dict[str, str]:
    """Of what the results depend on."""
    if asked.model:
        import onnxruntime
        return library_versions(onnxruntime=onnxruntime.__version__)
    return driver.versions()


class Items:
    """What is told of single items that cannot be read or written, while the others go on; `failed`: their paths."""

    def __init__(self, log: logging.Logger):
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


# Images


def find_images(names: Sequence[str]) -> Tuple[List[Sample], List[str]]:
    """Samples of what `find_photographs` finds, and its notes."""
    paths, notes = find_photographs(names)
    return [Sample("", path) for path in paths], notes


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


def segment(asked: PredictionSettings, network: Segmenter, samples: Sequence[Sample], log: logging.Logger,
            items: Items) -> None:
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
            write_segmented(sample, image, labels, network, asked.out)
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


def classify(asked: PredictionSettings, network: Classifier, samples: Sequence[Sample], log: logging.Logger,
             items: Items) -> None:
    """Print the best classes of every image, and write all of them."""
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
    write_predictions(os.path.join(asked.out, PREDICTIONS), used, probs)
    for sample, row, order in zip(used, probs, best_classes(probs, asked.top)):
        print(sample.image_path)
        for index in order:
            print(f"  {100 * row[index]:5.1f} %  {network.class_names[index]}")


def predict_videos(asked: PredictionSettings, network: Union[Segmenter, Classifier], videos: Sequence[Sample],
                   items: Items) -> None:
    """Write the table of each video and, of segmentation, its overlay; print the means over its frames."""
    for sample in videos:
        stem_path = os.path.join(asked.out, stem(sample.image))
        with items.told(sample):
            if isinstance(network, Segmenter):
                frames, means = segment_video(sample.image_path, stem_path, network.predict, network.class_names,
                                              network.colours)
            else:
                frames, means = classify_video(sample.image_path, stem_path, network.predict, network.class_names)
            print(f"{sample.image_path}: {frames} frames, on average {largest(means, network.class_names)}")
