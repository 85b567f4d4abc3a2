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
from typing import Callable, List, Optional, Sequence, Tuple

from ademxapp import driver
from ademxapp.cli import UsageError, existing_file, make_parser, numbers
from ademxapp.data.images import stem
from ademxapp.data.lists import Sample
from ademxapp.engine import load
from ademxapp.errors import usage_errors
from ademxapp.evaluation.dense import CrfSettings, Labels
from ademxapp.files import write_json
from ademxapp.flags import Decides, Settings, changed, flag
from ademxapp.settings import Data, Devices, Testing
from ademxapp.symbol import Label, label_stem, output_stride, parse_label
from ademxapp.weights.describe import run_label
from ademxapp.weights.description import SEGMENTATION
from issegm import testing
from issegm.datasets import DATASETS, SegmentationDataset, dataset_record
from issegm.scoring import Scores, score_lines
from issegm.segmenter import Segmenter
from issegm.settings import Crf, DenseTesting

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
    asked = AveragingSettings.from_args(make_parser(__doc__, AveragingSettings).parse_args(argv))
    asked = replace(asked, weights=tuple(map(os.path.normpath, asked.weights or ())),
                    predictions=tuple(asked.predictions or ()))
    if asked.score:
        return score(asked)
    load(asked.engine)
    settings, labels = resolved(asked)
    settings, crfs = testing.crf_settings(settings, settings.search)
    with usage_errors():
        record = dataset_record(settings.dataset, labels[0].classes, settings.dataset_file)
        strides = [output_stride(label) for label in labels[:len(settings.weights)]]
    require_agreement(settings, labels, strides)
    listed = driver.find_samples(settings, SEGMENTATION)
    samples = testing.of_shard(listed, settings.shard)
    stored = [testing.StoredScores(folder, record.classes, samples) for folder in settings.predictions]
    weights = [Segmenter.read(path, str(label), record, **vars(testing.dense_test(settings)))
               for path, label in zip(settings.weights, labels)]
    first = stem(settings.weights[0]) if settings.weights else os.path.basename(os.path.normpath(
        settings.predictions[0]))

    def open_sources(log: Logger) -> testing.Sources:
        devices = driver.devices(settings, log) if weights else []
        return [one.on(devices, engine=settings.engine, compiled=settings.compile) for one in weights] + stored

    if settings.search:
        return search(settings, f"{first}_msc", record, testing.labelled(samples), open_sources, (NO_CRF, *crfs))
    test = driver.Identity.of(Decides.TEST, settings, SEGMENTATION, listed, record, settings.weights,
                              [source.fingerprint for source in stored])
    return testing.run_test(settings, test, f"{first}_msc", record, samples, crfs, open_sources,
                    any(sample.label_image for sample in samples), settings.weights_of)


def resolved(asked: AveragingSettings) -> Tuple[AveragingSettings, List[Label]]:
    """With what follows from the first network; and the networks' labels, of stored predictions' too."""
    if not asked.weights and not asked.predictions:
        raise UsageError("there is nothing to average: wanted --weights FILE or --predictions DIR, or --score DIR")
    names = [*asked.weights, *(testing.first_attributes(folder)["weights"] for folder in asked.predictions)]
    with usage_errors():
        labels = [parse_label(run_label(name)) for name in names]
        model = label_stem(asked.model) if asked.model else run_label(names[0])
    first = os.path.normpath([*asked.weights, *asked.predictions][0])
    return of_dataset(replace(asked, model=model, output=asked.output or os.path.dirname(first) or "."),
                      labels[0].dataset), labels


def of_dataset(asked: AveragingSettings, usual: str) -> AveragingSettings:
    """With the dataset, the `usual` one unless another is asked for, and where its files are."""
    dataset = asked.dataset or usual
    return replace(asked, dataset=dataset, data_root=asked.data_root or os.path.join("data", dataset))


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


def search(settings: AveragingSettings, name: str, record: SegmentationDataset, samples: Sequence[Sample],
           open_sources: Callable[[Logger], testing.Sources], crfs: Sequence[CrfSettings]) -> None:
    """Print the scores of all CRFs, the first of which is none, by mean IoU; write them to `search.json`."""
    path = os.path.join(driver.test_folder(settings, name), "search.json")
    if os.path.exists(path) and not settings.overwrite:
        raise UsageError(f"there is a search already, {path}: give this one a --tag, or replace it with --overwrite")
    log = driver.open_log(settings)
    log.info("%d settings of the CRF on %d images", len(crfs) - 1, len(samples))
    sources, scores = open_sources(log), [Scores(record, samples) for _ in crfs]
    with Labels(crfs, settings.crf_workers, testing.map_weights(sources, settings.weights_of)) as labels:
        testing.score_samples(scores, samples, record, sources, labels, settings.prefetch_threads)
    rows = sorted(({"mean_iou": found["mean_iou"], "pixel_acc": found["pixel_acc"],
                    "crf": None if one is NO_CRF else asdict(one)}
                   for found, one in zip((one.result() for one in scores), crfs)), key=lambda row: row["mean_iou"] or 0)
    write_json(path, {"arguments": settings.arguments(), "images": len(samples), "results": rows})
    names = [field.name for field in fields(CrfSettings)]
    print("mean IoU  pixel accuracy  " + "  ".join(names))
    for row in rows:
        values = [f"{row['crf'][name]:{len(name)}g}" for name in names] if row["crf"] else ["no CRF"]
        print(f"{row['mean_iou'] or 0:8.2f}  {row['pixel_acc'] or 0:14.2f}  {'  '.join(values)}")


def score(asked: AveragingSettings) -> None:
    """Print the scores of label images, and write `result.json` where --output is given.

    Their dataset is that of --model or --dataset, else of their test's result.
    """
    if asked.weights or asked.predictions or asked.crf:
        raise UsageError("--score reads label images: --weights, --predictions and --crf do not go with it")
    path, model = os.path.join(asked.score[0], "result.json"), asked.model
    if not model and not asked.dataset and os.path.isfile(path):
        model = driver.read_result(path)["label"]
    if not model and not asked.dataset:
        raise UsageError(f"there is no {path} that tells the dataset: name it with --dataset or --model")
    with usage_errors():
        label = parse_label(model) if model else None
        settings = of_dataset(replace(asked, weights=None, model=model), label.dataset if label else "")
        usual = DATASETS[settings.dataset].classes if settings.dataset in DATASETS else 0
        record = dataset_record(settings.dataset, label.classes if label else usual, asked.dataset_file)
    samples = testing.labelled(testing.of_shard(driver.find_samples(settings, SEGMENTATION), settings.shard))
    if settings.output and os.path.exists(os.path.join(settings.output, "result.json")) and not settings.overwrite:
        raise UsageError(f"{settings.output} holds a result.json: choose another --output, or give --overwrite")
    watch, scores = driver.Stopwatch(), Scores(record, samples)
    driver.require_one_test(settings.score)
    testing.score_label_images(scores, samples, record, settings.score, settings.prefetch_threads)
    for line in score_lines(record, scores.result()):
        print(line)
    if settings.output:
        driver.write_result(settings.output, {"task": SEGMENTATION, "arguments": settings.arguments()}, len(samples),
                            watch.seconds, None, scores.result())
