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

import logging
import os
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ademxapp import driver
from ademxapp.cli import UsageError, existing_file, make_parser, number, numbers
from ademxapp.data.class_folders import some
from ademxapp.data.lists import Sample
from ademxapp.data.photographs import find_photographs, is_video
from ademxapp.deploy.onnx_model import OnnxModel
from ademxapp.engine import load
from ademxapp.flags import Settings, flag
from ademxapp.logs import library_versions, start_log
from ademxapp.settings import CalibrationData, Devices, Precision
from ademxapp.weights.describe import describe
from ademxapp.weights.description import SEGMENTATION
from ademxapp.weights.released import STREETS, shipped, shipped_folder
from iclass.classifier import Classifier
from issegm.segmenter import Segmenter

from .predicting import Items, classify, predict_videos, require_own_files, segment, twins_of, written

IN_FILE = ("gpus", "cpus", "dataset", "dataset_file", "pool_top_infer_style", "dtype",
           "calibrate_list", "data_root")  # flags that cannot change anything of an ONNX file


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
    asked = asked if own else with_shipped(asked)
    network = open_onnx(asked) if asked.model else open_weights(asked)
    segmentation = isinstance(network, Segmenter)
    samples, notes = find_images(asked.images)
    twins = twins_of(samples, asked.out, segmentation)
    require_own_files(asked.out, written(samples, asked.out, segmentation), asked.overwrite)
    log = start_log(os.path.join(asked.out, "predict.log"), versions(asked), asked.debug)
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
    images, videos = ([sample for sample in samples if sample not in twins and is_video(sample.image) == moving]
                      for moving in (False, True))
    if isinstance(network, Segmenter):
        segment(network, images, asked.out, items)
    else:
        classify(network, images, asked.out, asked.top, items)
    predict_videos(network, videos, asked.out, items)
    log.info("%d images, written to %s", len(samples) - len(items.failed), asked.out)
    if items.failed:
        raise ValueError(f"{len(items.failed)} of {len(samples)} images could not be used, as told above: "
                         f"{some(items.failed)}")


# The network


def with_shipped(asked: PredictionSettings) -> PredictionSettings:
    """With the weights that come with the program."""
    weights = shipped(STREETS)
    if weights is None:
        raise UsageError(f"there is no network, {shipped_folder()} has no {STREETS}: wanted --weights FILE or --model "
                         "ONNX")
    return replace(asked, weights=weights)


def open_weights(asked: PredictionSettings) -> Union[Segmenter, Classifier]:
    """The network of `--weights`, on no device yet; UsageError for what does not go with it."""
    if asked.weights.endswith(".onnx"):
        raise UsageError(f"--weights {asked.weights}: an ONNX file is --model's, and needs no MXNet or PyTorch")
    load(asked.engine)
    driver.checked_dtype(asked)
    try:
        if describe(asked.weights).task == SEGMENTATION:
            return Segmenter.read(asked.weights, dataset=asked.dataset, dataset_file=asked.dataset_file,
                                  **how(asked, True))
        return Classifier.read(asked.weights, dataset=asked.dataset, dataset_file=asked.dataset_file,
                               pool_style=asked.pool_top_infer_style, **how(asked, False))
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
    segments = model.description.task == SEGMENTATION
    test = how(asked, segments)
    try:
        return Segmenter.of_onnx(model, **test) if segments else Classifier.of_onnx(model, **test)
    except ValueError as error:
        raise ValueError(f"{asked.model}: {error}") from None


def how(asked: PredictionSettings, segments: bool) -> Dict[str, Any]:
    """How images are tested: fields of `DenseTest` or `Views`."""
    if segments:
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
    return network.on(driver.devices(asked, log), driver.checked_dtype(asked).dtype, images, asked.engine,
                      asked.compile)


def versions(asked: PredictionSettings) -> Dict[str, str]:
    """Of what the results depend on."""
    if asked.model:
        import onnxruntime
        return library_versions(onnxruntime=onnxruntime.__version__)
    return driver.versions()


def find_images(names: Sequence[str]) -> Tuple[List[Sample], List[str]]:
    """Samples of what `find_photographs` finds, and its notes."""
    paths, notes = find_photographs(names)
    return [Sample("", path) for path in paths], notes
