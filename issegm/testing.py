"""Testing on the samples of a list: score maps, labels, scores."""
import itertools
import os
from dataclasses import fields, replace
from logging import Logger
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import UsageError
from ademxapp.data.lists import Sample
from ademxapp.data.resize import size_of
from ademxapp.evaluation import crf
from ademxapp.evaluation.confusion import most_frequent_class_scores
from ademxapp.evaluation.crf import BestClasses, CrfLabels, CrfSettings
from ademxapp.evaluation.dense import ScoreMap
from ademxapp.evaluation.pictures import class_colours, contact_sheet, correct_picture
from ademxapp.evaluation.pipeline import overlapped
from ademxapp.machine import processors
from issegm.data import open_labelled, read_pair
from issegm.datasets import SegmentationDataset
from issegm.outputs import Outputs, StoredScores, label_path, map_weights, read_labels, require_distinct_names
from issegm.scoring import Scores, percent, score_lines
from issegm.segmenter import DenseTest, Segmenter
from issegm.settings import Crf, Shard

S = TypeVar("S", bound=Crf)
Sources = Sequence[Union[Segmenter, StoredScores]]
Labeller = Union[BestClasses, CrfLabels]
TestSettings = Any  # issegm/voc.py's, or tools/msctest.py's


def crf_settings(asked: S, search: bool = False) -> Tuple[S, Tuple[CrfSettings, ...]]:
    """The settings with what is not given of a CRF, and the CRFs: none, one, or with `search` all of a grid.

    UsageError if the flags do not go together, or pydensecrf is not installed.
    """
    names = [one.name for one in fields(CrfSettings)]
    flags = {name: f"--crf-{name.replace('_', '-')}" for name in names}
    given = {name: getattr(asked, f"crf_{name}") for name in names}
    if not (asked.crf or search):
        unused = [flags[name] for name in names if given[name] is not None]
        if unused:
            raise UsageError(f"{', '.join(unused)} without --crf: there is none that it could change")
        return asked, ()
    if not crf.available():
        raise UsageError(crf.INSTALL)
    several = [flags[name] for name in names if given[name] is not None and len(given[name]) > 1]
    if several and not search:
        raise UsageError(f"{several[0]} has more than one value: that is for the grid of tools/msctest.py --search")
    values = {name: given[name] or (getattr(CrfSettings, name),) for name in names}
    kept: Dict[str, Any] = {f"crf_{name}": value if search else value[0] for name, value in values.items()}
    return replace(asked, **kept), tuple(CrfSettings(*one) for one in itertools.product(*values.values()))


def dense_test(settings: TestSettings, batch: int = 1) -> DenseTest:
    """How images are segmented."""
    return DenseTest(settings.test_scales, settings.test_flipping, settings.test_steps, settings.window, batch)


def windows_chosen(networks: Sequence[Segmenter]) -> Dict[str, Dict[str, int]]:
    """What `result.json` says of windows: {input: their side}, where they were chosen for want of memory."""
    chosen = {f"{width}x{height}": side for one in networks for (height, width), side in one.windows_chosen.items()}
    return {"windows_chosen": chosen} if chosen else {}


def make_labeller(crfs: Sequence[CrfSettings], workers: Optional[int] = None, weights: Optional[List[float]] = None
                  ) -> Union[BestClasses, CrfLabels]:
    """What turns score maps into labels, a context manager: `BestClasses`, or the CRFs in so many processes."""
    return CrfLabels(crfs, workers or processors(), weights) if crfs else BestClasses(weights)


# The samples


class FirstImages:
    """Keeps the predicted labels of a test's first images: its `outputs`."""

    def __init__(self, record: SegmentationDataset, samples: Sequence[Sample], count: int = 4) -> None:
        self._record, self._samples = record, list(itertools.islice(samples, count))
        self._labels: Dict[str, np.ndarray] = {}

    def labels(self, sample: Sample, size: Tuple[int, int]) -> Optional[np.ndarray]:
        """None: no labels were there before."""
        return None

    def save(self, sample: Sample, truth: np.ndarray, labels: np.ndarray, score_maps: Sequence[ScoreMap]) -> None:
        """Keep the labels of one of them."""
        if any(sample.image_path == one.image_path for one in self._samples):
            self._labels[sample.image_path] = labels

    def sheet(self) -> np.ndarray:
        """Image, truth, prediction and difference of each: (H, W, 3) uint8."""
        record, rows = self._record, []
        colours = class_colours(record.palette, record.label_ids)
        for sample in self._samples:
            (file, truth), predicted = open_labelled(sample, record), self._labels[sample.image_path]
            rows.append([file.rgb(), colours[truth], colours[predicted],
                         correct_picture(truth, predicted, record.classes)])
        return contact_sheet(rows, ("image", "truth", "prediction", "difference"))


def counted_samples(scores: Sequence[Scores], samples: Sequence[Sample], record: SegmentationDataset, sources: Sources,
                    labeller: Labeller, readers: int = 1, outputs: Union[None, Outputs, FirstImages] = None
                    ) -> Iterator[List[Scores]]:
    """What every sample in turn adds to `scores`, as of `score_samples`: lists of Scores.

    Reading, scaling, labels, files and counts run in threads beside the network. `outputs` stores an image's first
    label map, and has the labels of samples that are done.
    """
    def read(sample: Sample) -> Tuple:
        image, truth = read_pair(sample, record)
        done = outputs and outputs.labels(sample, size_of(image))
        return sample, image, truth, done, [source.prepare(sample, image) for source in sources if done is None]

    def forward(item: Tuple) -> Tuple:
        sample, image, truth, done, prepared = item
        return sample, image, truth, done, [one for source, ready in zip(sources, prepared)
                                            for one in source.score_maps(sample, image, ready)]

    def finish(item: Tuple) -> List[Scores]:
        sample, image, truth, done, score_maps = item
        labels = [done] if done is not None else labeller(sample.image_path, score_maps, image)
        if outputs and done is None:
            outputs.save(sample, truth, labels[0], score_maps)
        return [one.empty().add(sample, truth, predicted) for one, predicted in zip(scores, labels)]

    return overlapped(samples, read, forward, finish, readers, labeller.threads)


def score_samples(scores: Sequence[Scores], samples: Sequence[Sample], record: SegmentationDataset, sources: Sources,
                  labeller: Labeller, readers: int = 1, outputs: Union[None, Outputs, FirstImages] = None) -> None:
    """Add all samples to `scores`, a list of Scores, one for each label map that `labeller` makes of an image.

    A bar shows the progress and the first one's mean IoU. Where there are no truths, `scores` is empty.
    """
    with tqdm(total=len(samples), unit="image", desc="testing", disable=None, dynamic_ncols=True) as bar:
        for counts in counted_samples(scores, samples, record, sources, labeller, readers, outputs):
            for one, more in zip(scores, counts):
                one.merge(more)
            if scores and not bar.disable:
                bar.set_postfix_str(f"mean IoU {running_mean_iou(scores[0]):.2f} %", refresh=False)
            bar.update()


def running_mean_iou(scores: Scores) -> float:
    """The mean IoU of the images so far, percent; 0 before there is any."""
    iou = scores.confusion.class_iou
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else 0.0


def labelled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples; ValueError unless all of them have labels."""
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels, which cannot be scored: --phase test only predicts")
    return samples


def shard_name(part: Optional[Shard]) -> Optional[str]:
    """What a shard's folder is called by, or None for all of the images."""
    return part and "shard-{}-of-{}".format(*part)


def of_shard(samples: Sequence[Sample], part: Optional[Shard]) -> Sequence[Sample]:
    """Every n-th sample from the i-th on, for `part` (i, n); all of them for None. ValueError if there is none."""
    if part is None:
        return samples
    if part[0] > len(samples):
        raise ValueError(f"--shard {part[0]}/{part[1]} has no image: the list has {len(samples)}")
    return samples[part[0] - 1::part[1]]


def run_test(settings: TestSettings, test: driver.Identity, folder: str, record: SegmentationDataset,
             samples: Sequence[Sample], crfs: Sequence[CrfSettings], open_sources: Callable[[Logger], Sources],
             scored: bool, shares: Optional[List[float]] = None, paper: Optional[Dict[str, float]] = None) -> None:
    """Label all samples; write labels, pictures and, where the settings say so, score maps; score them.

    Parameters
    ----------
    test : Identity
    folder : str
        The test's.
    crfs : sequence of CrfSettings
        One or none.
    open_sources : callable
        From a log to what the score maps come from.
    scored : bool
        There are truths.
    shares : list of float, optional
        How much each source counts.
    paper : dict, optional
        The published scores.
    """
    keeps, skips = (getattr(settings, name, False) for name in ("save_predictions", "skip_done"))
    scores = [Scores(record, labelled(samples))] if scored else []
    require_distinct_names(samples, keeps, not settings.no_save_results)
    driver.holds_same(folder, test, settings.overwrite)
    log = driver.open_log(settings.log_file, settings.output, settings.model, settings.debug)
    sources = open_sources(log)
    same = driver.claim_folder(folder, test, settings.overwrite, settings.files())
    if skips and not same:
        log.info("--skip-done: there is nothing in %s that stems from these arguments and weights", folder)
    networks = [one for one in sources if isinstance(one, Segmenter)]
    outputs = Outputs(folder, record, test.digest, not settings.no_save_results, networks[0] if keeps else None,
                      skips and same)
    watch = driver.Stopwatch()
    with make_labeller(crfs, settings.crf_workers, map_weights(sources, shares)) as labeller:
        score_samples(scores, samples, record, sources, labeller, settings.prefetch_threads, outputs)
    result = scores[0].result() if scores else {}
    about = {**windows_chosen(networks), **timing(outputs, samples, watch)}
    driver.write_result(folder, settings, test, len(samples), watch.seconds, paper, {**result, **about})
    for line in lines_of_scores(record, scores[0], result) if scores else ():
        log.info("%s", line)
    log.info("%d images, %.2f images/s%s; written to %s", len(samples), len(samples) / watch.seconds,
             "" if scores else ", not scored", folder)


def timing(outputs: Outputs, samples: Sequence[Sample], watch: driver.Stopwatch) -> Dict[str, float]:
    """What `result.json` says of time, with a `Stopwatch` of the test.

    Seconds by the clock and on the processors, those of the CRF's processes apart; where images were done before, how
    many, and the speed of the others.
    """
    about = {"seconds": round(watch.seconds, 3), "cpu_seconds": round(watch.cpu_seconds, 3),
             "crf_cpu_seconds": round(watch.children_cpu_seconds, 3), "processors": processors()}
    if outputs.done:
        left = len(samples) - outputs.done
        about.update(images_done_before=outputs.done, images_per_second=round(left / watch.seconds, 3))
    return about


def lines_of_scores(record: SegmentationDataset, scores: Scores, result: Dict[str, Any]) -> Iterator[str]:
    """Lines of text: the scores of `Scores` with their `result()`, and those of the most frequent class everywhere."""
    yield from score_lines(record, result)
    acc, iou = most_frequent_class_scores(scores.confusion.counts)
    yield f"the most frequent class everywhere: pixel accuracy {percent(acc)}, mean IoU {percent(iou)}"
    true = np.flatnonzero(scores.confusion.counts.sum(1))
    if len(true) == 1 < record.classes:
        yield (f"warning: every pixel that counts is {record.class_names[true[0]]}: these scores say nothing; "
               "label_ids and ignored_ids in a --dataset-file say which values are classes")


def score_label_images(scores: Scores, samples: Sequence[Sample], record: SegmentationDataset, folders: Sequence[str],
                       readers: int = 1) -> None:
    """Add the label images that tests wrote into `folders` to `scores` (Scores): of every sample one, in one of them.

    ValueError or OSError, before any is scored, if there is none or more than one of a sample, and where one cannot be
    read, is of another size, or has other values than the classes'.
    """
    paths = [_label_image(sample, folders) for sample in samples]
    missing = [sample.image for sample, path in zip(samples, paths) if path is None]
    if missing:
        raise ValueError(f"there is no label image of {missing[0]} in {', '.join(folders)}, and of {len(missing)} of "
                         f"{len(samples)} images in all: nothing was scored")

    def read(item: Tuple) -> Tuple:
        sample, path = item
        _, truth = open_labelled(sample, record)
        return sample, truth, read_labels(path, record, size_of(truth))

    with tqdm(total=len(samples), unit="image", desc="scoring", disable=None, dynamic_ncols=True) as bar:
        for item in overlapped(zip(samples, paths), read, tuple, tuple, readers):
            scores.add(*item)
            bar.update()


def _label_image(sample: Sample, folders: Sequence[str]) -> Optional[str]:
    found = [path for path in (label_path(folder, sample) for folder in folders) if os.path.isfile(path)]
    if len(found) > 1:
        raise ValueError(f"there are two label images of {sample.image}, {found[0]} and {found[1]}: name folders that "
                         "are parts of one test")
    return found[0] if found else None
