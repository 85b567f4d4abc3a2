"""Segment or classify photographs and videos: the network says which.

    python tools/predict.py street.jpg
    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --test-flipping
    python tools/predict.py holiday/ 'more/*.jpg' --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --out seen
    python tools/predict.py street.jpg drive.mp4 --model cityscapes.onnx
    python tools/predict.py street.jpg --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --dtype int8

The first uses a small network that comes with the program, which was trained on CamVid: it knows eleven classes of
street scenes, and takes everything for one of them. The fourth, with a file that tools/weights.py export wrote, needs
onnxruntime and no MXNet. The fifth needs the ranges that an earlier test with --dtype int8 at this scale keeps beside
the weights, or images to measure them on.

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
import itertools
import logging
import os
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

import numpy as np
from PIL import Image
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import UsageError, existing_file, library_versions, make_parser, number, numbers, start_log
from ademxapp.data.class_folders import some
from ademxapp.data.images import stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import Video, find_photographs, is_video, read_upright
from ademxapp.deploy.onnx_model import OnnxModel, require_none
from ademxapp.engine import load
from ademxapp.errors import one_line, usage_errors
from ademxapp.evaluation.dense import ScoreMap, label_map
from ademxapp.evaluation.pictures import captioned_grid
from ademxapp.evaluation.videos import classify_video, segment_video, video_outputs
from ademxapp.files import read_json, replacing, write_json
from ademxapp.flags import Settings, flag
from ademxapp.network import Network
from ademxapp.processes import overlapped
from ademxapp.settings import CalibrationData, Devices, Precision
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION, Description
from ademxapp.weights.released import STREETS, shipped, shipped_folder
from iclass.classifier import Classifier, best_classes, write_predictions
from issegm.segmenter import Segmenter

IN_FILE = ("gpus", "cpus", "dataset", "dataset_file", "pool_top_infer_style", "dtype",
           "calibrate_list", "data_root")  # flags that cannot change anything of an ONNX file
WHOLE = 0.98  # share of the frames that a video announces; some count a few too many
TOLD = 0.005  # smallest share of the pixels of a class that is printed
LONGEST_SIDE = 65_000  # of a JPEG, less the overlay's border
PREDICTIONS, MANIFEST = "predictions.tsv", "predict.json"


@dataclass(frozen=True)
class Images(Settings):
    """What is predicted, by which network, and what is written."""

    images: Tuple[str, ...] = flag("what to predict", (), positional=True, nargs="+", metavar="IMAGE|FOLDER|GLOB")
    weights: Optional[str] = flag(".params file, named by its label or beside its description (default: the network "
                                  "for streets in models/)", one_of="network", type=existing_file, metavar="FILE")
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


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Predict all images, and end with an error if some could not be used."""
    asked = PredictionSettings.from_args(make_parser(__doc__, PredictionSettings).parse_args(argv))
    own = bool(asked.model or asked.weights)
    if not own:
        asked = replace(asked, weights=shipped(STREETS))
        if asked.weights is None:
            raise UsageError(f"there is no network, {shipped_folder()} has no {STREETS}: wanted --weights FILE or "
                             "--model ONNX")
    network = open_onnx(asked) if asked.model else open_weights(asked)
    segmentation = isinstance(network, Segmenter)
    paths, notes = find_photographs(asked.images)
    files = {sample: outputs(sample, asked.out, segmentation) for sample in (Sample("", path) for path in paths)}
    twins = twins_of(files)
    table = [] if segmentation or all(map(is_video, paths)) else [os.path.join(asked.out, PREDICTIONS)]
    require_own_files(asked, [*table, *itertools.chain(*files.values())])
    runtime = None
    if asked.model:
        import onnxruntime
        runtime = {"onnxruntime": onnxruntime.__version__}
    log = start_log(os.path.join(asked.out, "predict.log"), library_versions(runtime), asked.debug)
    if not own:
        notes.append(f"no --weights: {asked.weights}, trained on CamVid, takes everything for one of its classes: "
                     f"{', '.join(network.class_names)}")
    for note in notes:
        log.info("%s", note)
    items = Items(log)
    for sample, reason in twins.items():
        with items.told(sample):
            raise ValueError(reason)
    network = network if asked.model else on_devices(asked, network, log)
    images, videos = ([sample for sample in files if sample not in twins and is_video(sample.image) == moving]
                      for moving in (False, True))
    if isinstance(network, Segmenter):
        segment(network, images, asked.out, items)
    else:
        classify(network, images, asked.out, asked.top, items)
    predict_videos(network, videos, asked.out, items)
    log.info("%d images, written to %s", len(files) - len(items.failed), asked.out)
    if items.failed:
        raise ValueError(f"{len(items.failed)} of {len(files)} images could not be used, as told above: "
                         f"{some(items.failed)}")


def open_weights(asked: PredictionSettings) -> Network:
    """The network of `--weights`, on no device yet; UsageError for what does not go with it."""
    if asked.weights.endswith(".onnx"):
        raise UsageError(f"--weights {asked.weights}: an ONNX file is --model's, and needs no MXNet or PyTorch")
    load(asked.engine)
    driver.checked_dtype(asked)
    with usage_errors():
        kind, test = how(asked, describe(asked.weights))
        return kind.read(asked.weights, dataset=asked.dataset, dataset_file=asked.dataset_file,
                         pool_style=asked.pool_top_infer_style, **test)


def open_onnx(asked: PredictionSettings) -> Network:
    """The network of `--model`; ValueError if the file is none, UsageError for flags that are not for it."""
    require_none("--model", **{f"--{name.replace('_', '-')}": getattr(asked, name) for name in IN_FILE})
    model = OnnxModel(asked.model)
    if asked.window and model.size:
        raise UsageError("--window with --model: {} takes inputs of {}x{} pixels only, which are its windows".format(
            asked.model, *model.size[::-1]))
    kind, test = how(asked, model.description)
    try:
        return kind.of_onnx(model, **test)
    except ValueError as error:
        raise ValueError(f"{asked.model}: {error}") from None


def how(asked: PredictionSettings, known: Description) -> Tuple[Type[Network], Dict[str, Any]]:
    """The kind of network that a file holds, and how it is tested: fields of `DenseTest` or `Views`."""
    test = {"scales": asked.test_scales, "flipping": asked.test_flipping}
    if known.task == SEGMENTATION:
        return Segmenter, {**test, "window": asked.window}
    if asked.window:
        raise UsageError("--window is for segmentation; this network classifies")
    return Classifier, test


def on_devices(asked: PredictionSettings, network: Network, log: logging.Logger) -> Network:
    """The network, ready to run."""
    known, dataset = network.description, network.record.name
    data = CalibrationData(dataset=dataset, data_root=asked.data_root or os.path.join("data", dataset),
                           dtype=asked.dtype, calibrate_list=asked.calibrate_list)
    images = driver.calibration_images(data, known.task, known.classes, network.CALIBRATION_IMAGES,
                                       getattr(network.record, "folders", ()))
    return network.on(driver.devices(asked, log), driver.checked_dtype(asked).dtype, images, asked.engine,
                      asked.compile)


class Items:
    """What is done with single items; one that cannot be read or written is told, and the others go on.

    `failed` has the paths of those.
    """

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

    def through(self, samples: Sequence[Sample], read: Callable[[Sample], Any], forward: Callable[[Sample, Any], Any],
                finish: Callable[[Sample, Any], Any], doing: str) -> Iterator[Tuple[Sample, Any]]:
        """(sample, result) of the samples that come through three steps, each of which takes what the last gave."""
        def guarded(step: Callable[..., Any]) -> Callable[[Any], Any]:
            def guard(item: Optional[Tuple[Any, ...]]) -> Optional[Tuple[Sample, Any]]:
                if item is not None:
                    with self.told(item[0]):
                        return item[0], step(*item)
                return None
            return guard

        results = overlapped([(sample,) for sample in samples], *map(guarded, (read, forward, finish)))
        for result in tqdm(results, total=len(samples), unit="image", desc=doing, disable=None):
            if result is not None:
                yield result


def outputs(sample: Sample, folder: str, segmentation: bool) -> Tuple[str, ...]:
    """The files of a sample alone: of segmentation, label image and overlay; of a video its own."""
    path = os.path.join(folder, stem(sample.image))
    if is_video(sample.image):
        return video_outputs(path, segmentation)
    return (f"{path}.png", f"{path}_overlay.jpg") if segmentation else ()


def twins_of(files: Mapping[Sample, Sequence[str]]) -> Dict[Sample, str]:
    """The samples whose files would replace those of an earlier one, each with the reason.

    UsageError if a file would replace one of the images.
    """
    images, taken, twins = {os.path.realpath(sample.image_path) for sample in files}, {}, {}
    for sample, written in files.items():
        paths = list(map(os.path.realpath, written))
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


def require_own_files(asked: PredictionSettings, paths: Sequence[str]) -> None:
    """Note in the folder which files are this program's; UsageError for another's, unless it may be overwritten."""
    manifest, earlier = os.path.join(asked.out, MANIFEST), set()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        earlier = set(read_json(manifest)["written"])
    names = {os.path.relpath(path, asked.out): path for path in paths}
    foreign = [path for name, path in names.items() if name not in earlier and os.path.isfile(path)]
    if foreign and not asked.overwrite:
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


def segment(network: Segmenter, samples: Sequence[Sample], out: str, items: Items) -> None:
    """Write label images and overlays with the classes' names, and print the classes' shares."""
    record, colours = network.record, network.colours

    def read(sample: Sample) -> Tuple[np.ndarray, Dict[int, np.ndarray]]:
        image = read_image(sample)
        if max(image.shape) > LONGEST_SIDE:
            raise ValueError(f"{sample.image_path} has {image.shape[1]}x{image.shape[0]} pixels, wanted sides of "
                             f"at most {LONGEST_SIDE}: cut it first")
        return image, network.prepare(sample, image)

    def forward(sample: Sample, item: Tuple[np.ndarray, Dict[int, np.ndarray]]) -> Tuple[np.ndarray, List[ScoreMap]]:
        return item[0], network.score_maps(sample, *item)

    def finish(sample: Sample, item: Tuple[np.ndarray, List[ScoreMap]]) -> np.ndarray:
        image, labels = item[0], label_map(item[1])
        label_path, overlay_path = outputs(sample, out, True)
        write_png(label_path, record.to_label_ids(labels), record.palette)
        legend = [(colours[index], record.class_names[index]) for index in np.unique(labels)]
        overlay = captioned_grid([network.overlay(image, labels)], [stem(sample.image)], 1, legend)
        with replacing(overlay_path) as temporary:
            Image.fromarray(overlay).save(temporary, format="JPEG", quality=92)
        return np.bincount(labels.ravel(), minlength=record.classes) / labels.size

    for sample, shares in items.through(samples, read, forward, finish, "segmenting"):
        tqdm.write(f"{sample.image_path}: {largest(shares, record.class_names)}")


def largest(shares: np.ndarray, names: Sequence[str]) -> str:
    """The classes with a share that is worth to be told, the largest first."""
    return ", ".join(f"{names[index]} {100 * shares[index]:.1f} %" for index in np.argsort(-shares)
                     if shares[index] >= TOLD)


def classify(network: Classifier, samples: Sequence[Sample], out: str, top: int, items: Items) -> None:
    """Print the `top` best classes of every image, and write all of them."""
    found = list(items.through(
        samples, lambda sample: network.prepare(read_image(sample), sample.image_path),
        lambda sample, prepared: network.of_prepared([prepared], [sample.image_path])[0],
        lambda sample, probabilities: probabilities, "classifying"))
    if not found:
        return
    used, probs = [sample for sample, _ in found], np.stack([row for _, row in found])
    write_predictions(os.path.join(out, PREDICTIONS), used, probs)
    for sample, row, order in zip(used, probs, best_classes(probs, top)):
        print(sample.image_path)
        for index in order:
            print(f"  {100 * row[index]:5.1f} %  {network.class_names[index]}")


def predict_videos(network: Network, videos: Sequence[Sample], out: str, items: Items) -> None:
    """Write the table of each video and, of segmentation, its overlay; print the means over its frames."""
    for sample in videos:
        place, names = os.path.join(out, stem(sample.image)), network.class_names
        with items.told(sample):
            video = Video(sample.image_path)
            if isinstance(network, Segmenter):
                frames, means = segment_video(video, place, network.predict, names, network.colours)
            else:
                frames, means = classify_video(video, place, network.predict, names)
            less = f" of {video.frames} that it announces (is it whole?)" if frames < WHOLE * video.frames else ""
            print(f"{sample.image_path}: {frames} frames{less}, on average {largest(means, names)}")
