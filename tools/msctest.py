"""Average score maps over scales, mirror images, networks and stored predictions; apply a CRF; score.

Two networks at three scales with their mirror images, the first counting twice:

    python tools/msctest.py --weights models/voc_rna-a1_cls21_s8_ep-0001.params \\
        --weights models/voc_rna-c1_cls21_s8_ep-0001.params --weights-of 2,1 --data-root data/VOCdevkit \\
        --test-scales 375,500,625 --test-flipping --output output

The same without networks, from what issegm/voc.py --save-predictions kept, with a CRF:

    python tools/msctest.py --predictions output/voc_rna-a1_cls21_s8_ep-0001 \\
        --predictions output/voc_rna-c1_cls21_s8_ep-0001 --weights-of 2,1 --data-root data/VOCdevkit --crf

Settings of the CRF, tried on the images of a list; and the scores of label images, of shards too:

    python tools/msctest.py --search --predictions output/voc_rna-a1_cls21_s8_ep-0001 --data-root data/VOCdevkit \\
        --list some.lst --crf-bilateral-weight 3,4,5 --crf-bilateral-width 30,50,70
    python tools/msctest.py --score output/voc_rna-a1_cls21_s8_ep-0001_shard-* --data-root data/VOCdevkit
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.msctest")

import os
from dataclasses import asdict, dataclass, fields, replace
from logging import Logger
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ademxapp import driver
from ademxapp.cli import Parser, UsageError, existing_file, make_parser, numbers
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from ademxapp.engine import load
from ademxapp.evaluation.crf import CrfSettings
from ademxapp.files import write_json
from ademxapp.flags import Decides, Settings, changed, flag
from ademxapp.settings import Data, Devices, Testing
from ademxapp.symbol import Label, label_stem, output_stride, parse_label
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import SEGMENTATION
from issegm.datasets import DATASETS, SegmentationDataset, dataset_record
from issegm.outputs import StoredScores, first_score_file, map_weights
from issegm.scoring import Scores
from issegm.segmenter import Segmenter
from issegm.settings import Crf, DenseTesting
from issegm.testing import (
    crf_settings,
    dense_test,
    labelled,
    lines_of_scores,
    make_labeller,
    of_shard,
    run_test,
    score_label_images,
    score_samples,
    shard_name,
)

Source = Union[Segmenter, StoredScores]
NO_CRF = CrfSettings(gaussian_weight=0, bilateral_weight=0)


@dataclass(frozen=True)
class Averaged(Settings):
    """What is averaged."""

    GROUP = "what to average"
    weights: Optional[Tuple[str, ...]] = flag(".params file of a network; may be given several times", None,
                                              Decides.TEST, contents=True, type=existing_file, action="append",
                                              metavar="FILE")
    predictions: Optional[Tuple[str, ...]] = flag("folder of a test with --save-predictions, all of whose scales "
                                                  "count; may be given several times", None, Decides.TEST,
                                                  contents=True, action="append", metavar="DIR")
    weights_of: Optional[Tuple[float, ...]] = flag("how much each network, and then each folder of predictions, counts "
                                                   "(default: all the same)", None, Decides.TEST,
                                                   type=numbers(float, 0), metavar="X,X,…")
    model: Optional[str] = flag("the label (default: that of the first weights)", recorded=True, metavar="LABEL")


@dataclass(frozen=True)
class Done(Settings):
    """What is done, and where its results go."""

    GROUP = "what to do, if not to write labels and scores"
    search: bool = flag("try the CRFs of a grid, for which the --crf flags take several values: a table of their "
                        "scores, the best last", False, one_of="what", recorded=True)
    score: Optional[Tuple[str, ...]] = flag("score label images; several folders are parts of one test", one_of="what",
                                            recorded=True, nargs="+", metavar="DIR")
    output: Optional[str] = flag("where the test's or the search's folder will be (default: beside the first weights "
                                 "or predictions); with --score, the folder of result.json (default: none)",
                                 metavar="DIR")
    log_file: Optional[str] = flag("(default: <output>/<label>.log)", metavar="FILE")
    debug: bool = flag("MXNet's naive engine, and tracebacks of errors", False)


@dataclass(frozen=True)
class AveragingSettings(Crf, DenseTesting, Testing, Data, Devices, Done, Averaged):
    """All that this program is asked for."""

    split: str = changed(Data, "split", "val")


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Parse the arguments and average, search or score."""
    asked = parse(argv)
    if asked.score:
        return score(asked)
    load(asked.engine)
    settings, labels = resolved(asked)
    settings, crfs = crf_settings(settings, settings.search)
    try:
        record = dataset_record(settings.dataset, labels[0].classes, settings.dataset_file)
        strides = [output_stride(label) for label in labels[:len(settings.weights)]]
    except ValueError as error:
        raise UsageError(str(error)) from None
    require_agreement(settings, labels, strides)
    listed = driver.find_samples(settings, SEGMENTATION)
    samples = of_shard(listed, settings.shard)
    stored = [StoredScores(folder, record.classes) for folder in settings.predictions]
    for source in stored:
        source.require(samples)
    weights = [Segmenter.read(path, str(label), record, **vars(dense_test(settings)))
               for path, label in zip(settings.weights, labels)]

    def open_sources(log: Logger) -> List[Source]:
        devices = driver.devices(settings, log) if weights else []
        return [one.on(devices, engine=settings.engine, compiled=settings.compile) for one in weights] + stored

    if settings.search:
        return search(settings, record, labelled(samples), open_sources, crfs)
    test = driver.identity_of(Decides.TEST, settings, SEGMENTATION, listed, record, settings.weights,
                              [source.fingerprint(samples) for source in stored])
    scored = any(sample.label_image for sample in samples)
    return run_test(settings, test, test_folder(settings), record, samples, crfs, open_sources, scored,
                    settings.weights_of)


def parse(argv: Optional[Sequence[str]] = None) -> AveragingSettings:
    """What is asked for."""
    asked = AveragingSettings.from_args(build_parser().parse_args(argv))
    return replace(asked, weights=tuple(map(os.path.normpath, asked.weights or ())),
                   predictions=tuple(asked.predictions or ()))


def build_parser() -> Parser:
    """The program's arguments."""
    return make_parser(__doc__, AveragingSettings)


def resolved(asked: AveragingSettings) -> Tuple[AveragingSettings, List[Label]]:
    """With what follows from the first network; and the networks' labels, of stored predictions' too."""
    weights = asked.weights
    if not weights and not asked.predictions:
        raise UsageError("there is nothing to average: wanted --weights FILE or --predictions DIR, or --score DIR")
    names = [*weights, *(first_score_file(folder)[1]["weights"] for folder in asked.predictions)]
    try:
        labels = [parse_label(run_label(name)) for name in names]
        model = label_stem(asked.model) if asked.model else run_label(names[0])
    except ValueError as error:
        raise UsageError(str(error)) from None
    dataset = asked.dataset or labels[0].dataset
    first = [*weights, *map(os.path.normpath, asked.predictions)][0]
    return replace(asked, weights=weights, model=model, dataset=dataset,
                   data_root=asked.data_root or os.path.join("data", dataset),
                   output=asked.output or os.path.dirname(first) or "."), labels


def require_agreement(settings: AveragingSettings, labels: Sequence[Label], strides: Sequence[int]) -> None:
    """UsageError unless the settings agree with each other."""
    for name, label in zip((*settings.weights, *settings.predictions), labels):
        if label.classes != labels[0].classes:
            raise UsageError(f"{name} has {label.classes} classes, the first network {labels[0].classes}: scores of "
                             "different classes cannot be averaged")
    if settings.weights and not settings.test_scales:
        raise UsageError("--weights needs --test-scales, for instance --test-scales 375,500,625")
    for stride in strides:
        if stride % settings.test_steps:
            raise UsageError(f"--test-steps {settings.test_steps} does not divide the stride {stride}")
    if settings.weights_of is not None and len(settings.weights_of) != len(labels):
        raise UsageError(f"--weights-of has {len(settings.weights_of)} numbers for {len(settings.weights)} networks "
                         f"and {len(settings.predictions)} folders of predictions")
    if settings.weights_of is not None and not sum(settings.weights_of):
        raise UsageError("--weights-of has only zeros: something must count")


def test_folder(settings: AveragingSettings) -> str:
    """The folder of the test: called after the first weights or predictions."""
    first = stem(settings.weights[0]) if settings.weights else os.path.basename(os.path.normpath(
        settings.predictions[0]))
    return driver.test_folder(settings.output, f"{first}_msc", None if settings.split == "val" else settings.split,
                              settings.tag, shard_name(settings.shard))


def search(settings: AveragingSettings, record: SegmentationDataset, samples: Sequence[Sample],
           open_sources: Callable[[Logger], List[Source]], crfs: Sequence[CrfSettings]) -> None:
    """Print the scores of all CRFs of the grid, and without one, by mean IoU; write them to `search.json`."""
    path, crfs = os.path.join(test_folder(settings), "search.json"), (NO_CRF, *crfs)
    if os.path.exists(path) and not settings.overwrite:
        raise UsageError(f"there is a search already, {path}: give this one a --tag, or replace it with --overwrite")
    log = driver.open_log(settings.log_file, settings.output, settings.model, settings.debug)
    log.info("%d settings of the CRF on %d images", len(crfs) - 1, len(samples))
    sources, scores = open_sources(log), [Scores(record, samples) for _ in crfs]
    with make_labeller(crfs, settings.crf_workers, map_weights(sources, settings.weights_of)) as labeller:
        score_samples(scores, samples, record, sources, labeller, settings.prefetch_threads)
    results = [one.result() for one in scores]
    order = sorted(range(len(crfs)), key=lambda place: results[place]["mean_iou"] or 0)
    rows = [{**{name: results[place][name] for name in ("mean_iou", "pixel_acc")},
             "crf": asdict(crfs[place]) if place else None} for place in order]
    write_json(path, {"arguments": settings.arguments(), "images": len(samples), "results": rows})
    for line in search_table(rows):
        print(line)


def search_table(rows: Sequence[Dict[str, Any]]) -> Iterator[str]:
    """Lines of text: mean IoU, pixel accuracy and settings of every CRF (None: without one)."""
    names = [field.name for field in fields(CrfSettings)]
    yield "mean IoU  pixel accuracy  " + "  ".join(names)
    for row in rows:
        values = [f"{row['crf'][name]:{len(name)}g}" for name in names] if row["crf"] else ["no CRF"]
        yield f"{row['mean_iou'] or 0:8.2f}  {row['pixel_acc'] or 0:14.2f}  {'  '.join(values)}"


def score(asked: AveragingSettings) -> None:
    """Print the scores of label images, and write `result.json` where --output is given."""
    if asked.weights or asked.predictions or asked.crf:
        raise UsageError("--score reads label images: --weights, --predictions and --crf do not go with it")
    settings, record = of_label_images(asked)
    samples = labelled(of_shard(driver.find_samples(settings, "segmentation"), settings.shard))
    if settings.output and os.path.exists(os.path.join(settings.output, "result.json")) and not settings.overwrite:
        raise UsageError(f"{settings.output} holds a result.json: choose another --output, or give --overwrite")
    watch, scores = driver.Stopwatch(), Scores(record, samples)
    driver.require_one_test(settings.score, [driver.read_record(folder)[1] for folder in settings.score])
    score_label_images(scores, samples, record, settings.score, settings.prefetch_threads)
    for line in lines_of_scores(record, scores, scores.result()):
        print(line)
    if settings.output:
        driver.write_result(settings.output, settings, None, len(samples), watch.seconds, None, scores.result())


def of_label_images(asked: AveragingSettings) -> Tuple[AveragingSettings, SegmentationDataset]:
    """The settings with the dataset of the label images to score, of --model or --dataset, else of their test's result.

    And its record.
    """
    path, model = os.path.join(asked.score[0], "result.json"), asked.model
    if not model and not asked.dataset and os.path.isfile(path):
        model = driver.read_result(path)["label"]
    if not model and not asked.dataset:
        raise UsageError(f"there is no {path} that tells the dataset: name it with --dataset or --model")
    try:
        label = parse_label(model) if model else None
        dataset = asked.dataset or label.dataset
        usual = DATASETS[dataset].classes if dataset in DATASETS else 0
        record = dataset_record(dataset, label.classes if label else usual, asked.dataset_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return replace(asked, weights=None, model=model, dataset=dataset,
                   data_root=asked.data_root or os.path.join("data", dataset)), record
