"""Testing on the samples of a list: score maps, labels, scores; and the files of a test: label images, pictures of what
is right, score maps, these as a source beside networks.
"""
import itertools
import os
from collections import Counter
from dataclasses import fields, replace
from logging import Logger
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple, TypeVar, Union

import numpy as np
from tqdm import tqdm

from ademxapp import driver
from ademxapp.cli import UsageError
from ademxapp.data.images import decode_label, read_bytes, stem, write_png
from ademxapp.data.lists import Sample
from ademxapp.data.transforms import size_of
from ademxapp.evaluation.dense import CrfSettings, Labels, ScoreMap, crf_available
from ademxapp.evaluation.pictures import correct_picture
from ademxapp.evaluation.score_files import read_scores, write_scores
from ademxapp.files import PART
from ademxapp.machine import processors
from ademxapp.processes import overlapped
from issegm.datasets import SegmentationDataset, open_labelled, read_pair
from issegm.scoring import Scores, score_lines
from issegm.segmenter import DenseTest, Segmenter
from issegm.settings import Crf, Shard

S = TypeVar("S", bound=Crf)
Sources = Sequence[Union[Segmenter, "StoredScores"]]
TestSettings = Any  # issegm/voc.py's, or tools/msctest.py's


def crf_settings(asked: S, search: bool = False) -> Tuple[S, Tuple[CrfSettings, ...]]:
    """The settings with what is not given of a CRF, and the CRFs: none, one, or with `search` all of a grid.

    UsageError if the flags do not go together, or pydensecrf is not installed.
    """
    asked_for = {one.name: getattr(asked, f"crf_{one.name}") for one in fields(CrfSettings)}
    given = {f"--crf-{name.replace('_', '-')}": value for name, value in asked_for.items() if value is not None}
    if not (asked.crf or search):
        if given:
            raise UsageError(f"{', '.join(given)} without --crf: there is none that it could change")
        return asked, ()
    if not crf_available():
        raise UsageError("the CRF needs pydensecrf, which is not installed: pip install pydensecrf2==1.1 (or pip "
                         "install -e '.[crf]')")
    several = [flag for flag, value in given.items() if len(value) > 1]
    if several and not search:
        raise UsageError(f"{several[0]} has more than one value: that is for the grid of tools/msctest.py --search")
    values = {name: value or (getattr(CrfSettings, name),) for name, value in asked_for.items()}
    kept: Dict[str, Any] = {f"crf_{name}": value if search else value[0] for name, value in values.items()}
    return replace(asked, **kept), tuple(CrfSettings(*one) for one in itertools.product(*values.values()))


def dense_test(settings: TestSettings, batch: int = 1) -> DenseTest:
    """How images are segmented."""
    return DenseTest(settings.test_scales, settings.test_flipping, settings.test_steps, settings.window, batch)


def labelled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples; ValueError unless all of them have labels."""
    if any(sample.label_image is None for sample in samples):
        raise ValueError("the list names images without labels, which cannot be scored: --phase test only predicts")
    return samples


def of_shard(samples: Sequence[Sample], part: Optional[Shard]) -> Sequence[Sample]:
    """Every n-th sample from the i-th on, for `part` (i, n); all of them for None. ValueError if there is none."""
    if part is None:
        return samples
    if part[0] > len(samples):
        raise ValueError(f"--shard {part[0]}/{part[1]} has no image: the list has {len(samples)}")
    return samples[part[0] - 1::part[1]]


def score_samples(scores: Sequence[Scores], samples: Sequence[Sample], record: SegmentationDataset, sources: Sources,
                  labels: Labels, readers: int = 1, done: Callable[..., Optional[np.ndarray]] = lambda *_: None,
                  save: Callable[..., None] = lambda *_: None) -> None:
    """Add all samples to `scores`, one for each of the `labels` of an image. Where there are no truths, there is none.

    Reading, scaling, labels, files and counts run in threads beside the network. A bar shows the progress and the first
    one's mean IoU. `done(sample, size)` gives labels that are there, `save(sample, truth, labels, score_maps)` takes an
    image's first ones.
    """
    def read(sample: Sample) -> Tuple:
        image, truth = read_pair(sample, record)
        there = done(sample, size_of(image))
        return sample, image, truth, there, [source.prepare(sample, image) for source in sources if there is None]

    def forward(item: Tuple) -> Tuple:
        sample, image, truth, there, prepared = item
        return sample, image, truth, there, [one for source, ready in zip(sources, prepared)
                                             for one in source.score_maps(sample, image, ready)]

    def finish(item: Tuple) -> List[Scores]:
        sample, image, truth, there, score_maps = item
        found = [there] if there is not None else labels(sample.image_path, score_maps, image)
        if there is None:
            save(sample, truth, found[0], score_maps)
        return [one.empty().add(sample, truth, predicted) for one, predicted in zip(scores, found)]

    with tqdm(total=len(samples), unit="image", desc="testing", disable=None, dynamic_ncols=True) as bar:
        for counts in overlapped(samples, read, forward, finish, readers, labels.threads):
            for one, more in zip(scores, counts):
                one.merge(more)
            if scores and not bar.disable:
                bar.set_postfix_str(f"mean IoU {scores[0].confusion.mean_iou or 0:.2f} %", refresh=False)
            bar.update()


def run_test(settings: TestSettings, test: driver.Identity, name: str, record: SegmentationDataset,
             samples: Sequence[Sample], crfs: Sequence[CrfSettings], open_sources: Callable[[Logger], Sources],
             scored: bool, shares: Optional[List[float]] = None, paper: Optional[Dict[str, float]] = None) -> None:
    """Label all samples; write labels, pictures and, where the settings say so, score maps; score them.

    The folder is called after `name`. There is one CRF or none; `open_sources` goes from a log to what the score maps
    come from, each of which counts as `shares` says; there are truths where the test is `scored`; `paper` has the
    published scores. Of time, `result.json` has the seconds by the clock and on the processors, those of the CRF's
    processes apart; where images were done before, how many, and the speed of the others.
    """
    keeps, skips = (getattr(settings, name, False) for name in ("save_predictions", "skip_done"))
    folder, scores = driver.test_folder(settings, name), [Scores(record, labelled(samples))] if scored else []
    require_distinct_names(samples, keeps, not settings.no_save_results)
    test.holds_in(folder)
    log = driver.open_log(settings)
    sources = open_sources(log)
    same = test.claim(folder)
    if skips and not same:
        log.info("--skip-done: there is nothing in %s that stems from these arguments and weights", folder)
    networks = [one for one in sources if isinstance(one, Segmenter)]
    outputs = Outputs(folder, record, test.digest, not settings.no_save_results, networks[0] if keeps else None,
                      skips and same)
    watch = driver.Stopwatch()
    with Labels(crfs, settings.crf_workers, map_weights(sources, shares)) as labels:
        score_samples(scores, samples, record, sources, labels, settings.prefetch_threads, outputs.labels, outputs.save)
    result = scores[0].result() if scores else {}
    lines = list(score_lines(record, result)) if scores else []
    windows = {f"{width}x{height}": side for one in networks for (height, width), side in one.window.chosen.items()}
    if windows:
        result["windows_chosen"] = windows
    result.update(seconds=round(watch.seconds, 3), cpu_seconds=round(watch.cpu_seconds, 3),
                  crf_cpu_seconds=round(watch.children_cpu_seconds, 3), processors=processors())
    if outputs.done:
        left = len(samples) - len(outputs.done)
        result.update(images_done_before=len(outputs.done), images_per_second=round(left / watch.seconds, 3))
    driver.write_result(folder, test.record(), len(samples), watch.seconds, paper, result)
    for line in lines:
        log.info("%s", line)
    log.info("%d images, %.2f images/s%s; written to %s", len(samples), len(samples) / watch.seconds,
             "" if scores else ", not scored", folder)


def score_label_images(scores: Scores, samples: Sequence[Sample], record: SegmentationDataset, folders: Sequence[str],
                       readers: int = 1) -> None:
    """Add the label images that tests wrote into `folders` to `scores`: of every sample one, in one of them.

    ValueError or OSError, before any is scored, if there is none or more than one of a sample, and where one cannot be
    read, is of another size, or has other values than the classes'.
    """
    paths = [label_paths(folders, sample) for sample in samples]
    for sample, found in zip(samples, paths):
        if len(found) > 1:
            raise ValueError(f"there are two label images of {sample.image}, {found[0]} and {found[1]}: name folders "
                             "that are parts of one test")
    missing = [sample.image for sample, found in zip(samples, paths) if not found]
    if missing:
        raise ValueError(f"there is no label image of {missing[0]} in {', '.join(folders)}, and of {len(missing)} of "
                         f"{len(samples)} images in all: nothing was scored")

    def read(item: Tuple) -> Tuple:
        sample, (path,) = item
        _, truth = open_labelled(sample, record)
        return sample, truth, read_labels(path, record, size_of(truth))

    with tqdm(total=len(samples), unit="image", desc="scoring", disable=None, dynamic_ncols=True) as bar:
        for item in overlapped(zip(samples, paths), read, tuple, tuple, readers):
            scores.add(*item)
            bar.update()


# The files of a test


class Outputs:
    """What the test of an `identity`, which score maps have, writes into its folder, image by image.

    With `labels`, label images and, where there is a truth, pictures of what is right. With a `network`, the score maps
    that it gives. To `skip_done`: the labels of samples all of whose files are there are taken as they are.
    """

    def __init__(self, folder: str, record: SegmentationDataset, identity: str, labels: bool,
                 network: Optional[Segmenter], skip_done: bool) -> None:
        self._folder, self._record, self._identity = folder, record, identity
        self._labels, self._network, self._skip_done = labels, network, skip_done and labels
        self.done: Set[str] = set()  # images whose labels were there

    def labels(self, sample: Sample, size: Tuple[int, int]) -> Optional[np.ndarray]:
        """The labels of a sample of (h, w) pixels if they are done, else None."""
        label, correct, scores = self._paths(sample)
        wanted = [label, *scores, *(() if sample.label_image is None else (correct,))]
        if not self._skip_done or not all(map(os.path.isfile, wanted)):
            return None
        self.done.add(sample.image)
        return read_labels(label, self._record, size)

    def save(self, sample: Sample, truth: Optional[np.ndarray], predicted: np.ndarray, score_maps: Sequence[ScoreMap]
             ) -> None:
        """Write a sample's files: class indices (H, W) that are true (or None) and predicted, and its score maps."""
        label, correct, scores = self._paths(sample)
        if self._network:
            for path, scale, score_map in zip(scores, self._network.test.scales, score_maps):
                settings = self._network.settings(scale, score_map.size)
                write_scores(path, score_map, scale, settings, self._network.weights, self._identity)
        if self._labels:
            write_png(label, self._record.to_label_ids(predicted), self._record.palette)
            if truth is not None:
                write_png(correct, correct_picture(truth, predicted, self._record.classes))

    def _paths(self, sample: Sample) -> Tuple[str, str, List[str]]:
        """A sample's label image, picture of what is right, and score maps of the network's scales."""
        base, scales = os.path.join(self._folder, "scores"), self._network.test.scales if self._network else ()
        folders = [base] if len(scales) == 1 else [os.path.join(base, f"scale-{scale}") for scale in scales]
        return (label_path(self._folder, sample), label_path(os.path.join(self._folder, "correct"), sample),
                [os.path.join(folder, score_name(sample)) for folder in folders])


def score_name(sample: Sample) -> str:
    """A sample's file below a folder of score maps."""
    return f"{os.path.splitext(sample.image)[0]}.h5"


def label_path(folder: str, sample: Sample) -> str:
    """A sample's label image."""
    return os.path.join(folder, f"{stem(sample.image)}.png")


def label_paths(folders: Sequence[str], sample: Sample) -> List[str]:
    """A sample's label images in those of the folders that have one."""
    return [path for path in (label_path(folder, sample) for folder in folders) if os.path.isfile(path)]


def read_labels(path: str, record: SegmentationDataset, size: Tuple[int, int]) -> np.ndarray:
    """The class indices (H, W) uint8 of a label image that a test wrote; ValueError unless it is of (h, w) pixels."""
    labels = record.to_classes(decode_label(read_bytes(path), path), path)
    if labels.shape != tuple(size):
        raise ValueError(f"{path} has {labels.shape[1]}x{labels.shape[0]} pixels, its image {size[1]}x{size[0]}")
    if labels.max() >= record.classes:
        raise ValueError(f"{path} has pixels without a class of {record.name}: a prediction has one everywhere")
    return labels


def require_distinct_names(samples: Sequence[Sample], scores: bool, labels: bool) -> None:
    """ValueError if the results of two images would be one file; there will be score maps, label images or neither."""
    for name_of, written in ((lambda sample: stem(sample.image), labels), (score_name, scores)):
        name, count = Counter(map(name_of, samples)).most_common(1)[0]
        if written and count > 1:
            raise ValueError(f"{count} images of the list are called {name}, and their results would be one file: test "
                             "them with lists and --tags of their own, or with --no-save-results")


class StoredScores:
    """A source: the score maps, `maps` of each image, that a test kept with --save-predictions.

    `folder` is the test's, or `scores` in it; ValueError unless there are score maps of all `samples`. What tells them
    from others, their `fingerprint`, is their test's identity, as its record says or, without one, the first score map;
    of older ones, which have none, the files' dates.
    """

    def __init__(self, folder: str, classes: int, samples: Sequence[Sample]) -> None:
        base = os.path.join(folder, "scores")
        base = base if os.path.isdir(base) else folder
        if not os.path.isdir(base):
            raise UsageError(f"there is no folder {folder}")
        scales = sorted(name for name in os.listdir(base) if name.startswith("scale-"))
        self._folders, self._classes = [os.path.join(base, name) for name in scales] or [base], classes
        self.maps, self._folder = len(self._folders), folder
        self._identity = (driver.read_record(folder) or {}).get("identity") or first_attributes(folder).get("identity")
        paths = [path for sample in samples for path in self._paths(sample)]
        missing = [path for path in paths if not os.path.isfile(path)]
        if missing:
            raise ValueError(f"there is no {missing[0]}" + (f", and {len(missing) - 1} more" if missing[1:] else "")
                             + f" of {len(paths)} score maps: predict with --save-predictions, on the same list")
        self.fingerprint = self._identity or repr([(path, os.path.getsize(path), os.path.getmtime(path))
                                                   for path in paths])

    def _paths(self, sample: Sample) -> List[str]:
        return [os.path.join(folder, score_name(sample)) for folder in self._folders]

    def prepare(self, sample: Sample, image: np.ndarray) -> List[ScoreMap]:
        """The image's score maps; OSError or ValueError where a file is missing or not right."""
        found = [read_scores(path, size_of(image), self._classes) for path in self._paths(sample)]
        for path, (_, attributes) in zip(self._paths(sample), found):
            if attributes.get("identity") != self._identity:
                raise ValueError(f"{path} is of another test than {self._folder} holds: test again with "
                                 "--save-predictions --overwrite")
        return [score_map for score_map, _ in found]

    def score_maps(self, sample: Sample, image: np.ndarray, prepared: List[ScoreMap]) -> List[ScoreMap]:
        """The same; any thread can `prepare` them ahead."""
        return prepared


def first_attributes(folder: str) -> Dict[str, Any]:
    """Those of the first score map below a folder; UsageError if there are none."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".h5") and not name.startswith(PART):
                return read_scores(os.path.join(place, name))[1]
    raise UsageError(f"there are no score maps in {folder}: issegm/voc.py --save-predictions writes them")


def map_weights(sources: Sequence[Union[StoredScores, Segmenter]], shares: Optional[Sequence[float]] = None
                ) -> Optional[List[float]]:
    """How much each score map counts: `shares` of the sources, divided among their maps.

    None where all count the same.
    """
    shares = shares or [1.0] * len(sources)
    weights = [share / source.maps for source, share in zip(sources, shares) for _ in range(source.maps)]
    return None if len(set(weights)) == 1 else weights
