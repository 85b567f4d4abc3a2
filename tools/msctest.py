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
from dataclasses import asdict, fields

from ademxapp import driver
from ademxapp.cli import UsageError, existing_file, make_parser, numbers
from ademxapp.data.images import stem
from ademxapp.data.lists import read_segmentation_list
from ademxapp.evaluation.crf import CrfSettings
from ademxapp.evaluation.labelling import CrfLabels
from ademxapp.files import write_json
from ademxapp.machine import processors
from ademxapp.symbol import label_stem, output_stride, parse_label
from issegm.datasets import DATASETS, dataset_record
from issegm.outputs import Outputs, made_from, require_distinct_names
from issegm.scoring import Scores
from issegm.sources import StoredScores, load_weights, make_network, map_weights, stored_weights, windows_chosen
from issegm.testing import (
    add_testing_arguments,
    crf_settings,
    labelled,
    lines_of_scores,
    make_labeller,
    of_shard,
    report,
    score_label_images,
    score_samples,
    shard_name,
    timing,
)

NO_CRF = CrfSettings(gaussian_weight=0, bilateral_weight=0)


def main(argv=None):
    """Parse the arguments and average, search or score."""
    args = build_parser().parse_args(argv)
    if args.score:
        return score(args)
    labels = network_labels(args)
    crfs = crf_settings(args, args.search)
    try:
        record = dataset_record(args.dataset, labels[0].classes, args.dataset_file)
        strides = [output_stride(label) for label in labels[:len(args.weights)]]
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_arguments(args, labels, strides)
    samples = find_samples(args)
    stored = [StoredScores(folder, record.classes) for folder in args.predictions]
    for source in stored:
        source.require(samples)
    weights = [load_weights(path, label) for path, label in zip(args.weights, labels)]
    if args.search:
        return search(args, record, labelled(samples), weights, stored, crfs)
    return test(args, record, samples, weights, stored, crfs)


def build_parser():
    """The program's arguments."""
    parser = make_parser(__doc__)
    group = parser.add_argument_group("what to average")
    group.add_argument("--weights", type=existing_file, action="append", default=[], metavar="FILE", help=".params "
                       "file of a network; may be given several times")
    group.add_argument("--predictions", action="append", default=[], metavar="DIR", help="folder of a test with "
                       "--save-predictions, all of whose scales count; may be given several times")
    group.add_argument("--weights-of", type=numbers(float, 0), metavar="X,X,…", help="how much each network, and then "
                       "each folder of predictions, counts (default: all the same)")
    group.add_argument("--model", metavar="LABEL", help="the label (default: that of the first weights)")
    group = parser.add_argument_group("what to do, if not to write labels and scores")
    what = group.add_mutually_exclusive_group()
    what.add_argument("--search", action="store_true", help="try the CRFs of a grid, for which the --crf flags take "
                      "several values: a table of their scores, the best last")
    what.add_argument("--score", nargs="+", metavar="DIR", help="score label images; several folders are parts of one "
                      "test")
    group.add_argument("--output", metavar="DIR", help="where the test's or the search's folder will be "
                       "(default: beside the first weights or predictions); with --score, the folder of result.json "
                       "(default: none)")
    group.add_argument("--log-file", metavar="FILE", help="(default: <output>/<label>.log)")
    group.add_argument("--debug", action="store_true", help="MXNet's naive engine, and tracebacks of errors")
    driver.add_device_arguments(parser)
    driver.add_data_arguments(parser, split="val")
    driver.add_testing_arguments(parser)
    add_testing_arguments(parser)
    return parser


def network_labels(args):
    """The networks' labels, of stored predictions' too; sets the arguments that follow from the first of them."""
    if not args.weights and not args.predictions:
        raise UsageError("there is nothing to average: wanted --weights FILE or --predictions DIR, or --score DIR")
    args.weights = [os.path.normpath(path) for path in args.weights]
    names = args.weights + [stored_weights(folder) for folder in args.predictions]
    try:
        labels = [parse_label(name) for name in names]
        args.model = label_stem(args.model or names[0])
    except ValueError as error:
        raise UsageError(str(error)) from None
    args.dataset = args.dataset or labels[0].dataset
    args.data_root = args.data_root or os.path.join("data", args.dataset)
    args.output = args.output or os.path.dirname((args.weights + [os.path.normpath(folder)
                                                                  for folder in args.predictions])[0]) or "."
    return labels


def find_samples(args):
    """The samples of the split, or of a part of it."""
    samples = driver.find_samples(args, None, lambda path: read_segmentation_list(path, args.data_root))
    return of_shard(samples, args.shard)


def check_arguments(args, labels, strides):
    """UsageError unless the arguments agree with each other."""
    for name, label in zip(args.weights + args.predictions, labels):
        if label.classes != labels[0].classes:
            raise UsageError(f"{name} has {label.classes} classes, the first network {labels[0].classes}: scores of "
                             "different classes cannot be averaged")
    if args.weights and not args.test_scales:
        raise UsageError("--weights needs --test-scales, for instance --test-scales 375,500,625")
    for stride in strides:
        if stride % args.test_steps:
            raise UsageError(f"--test-steps {args.test_steps} does not divide the stride {stride}")
    if args.weights_of is not None and len(args.weights_of) != len(labels):
        raise UsageError(f"--weights-of has {len(args.weights_of)} numbers for {len(args.weights)} networks and "
                         f"{len(args.predictions)} folders of predictions")
    if args.weights_of is not None and not sum(args.weights_of):
        raise UsageError("--weights-of has only zeros: something must count")


def test(args, record, samples, weights, stored, crfs):
    """Label all samples, write labels and pictures and, where the list has truths, scores."""
    scored = any(sample.label_image for sample in samples)
    scores = [Scores(record, labelled(samples))] if scored else []
    require_distinct_names(samples, False, not args.no_save_results)
    folder = test_folder(args)
    log = driver.open_log(args)
    networks = make_networks(args, weights, record, log)
    outputs, origin = Outputs(folder, record, not args.no_save_results), made_from(args, args.weights)
    outputs.start(samples, origin, False, log)
    watch, sources = driver.Stopwatch(), networks + stored
    with make_labeller(args, crfs, map_weights(sources, args.weights_of)) as labeller:
        score_samples(scores, samples, record, sources, labeller, args.prefetch_threads, outputs)
    about = {"weights_sha256": origin["weights_sha256"], **windows_chosen(networks), **timing(outputs, samples, watch)}
    report(args, folder, record, scores, len(samples), watch.seconds, about, log)
    outputs.finish()


def test_folder(args):
    """The folder of the test, made; called after the first weights or predictions."""
    first = stem(args.weights[0]) if args.weights else os.path.basename(os.path.normpath(args.predictions[0]))
    return driver.test_folder(args, shard_name(args.shard), name=f"{first}_msc")


def make_networks(args, weights, record, log):
    """The sources that are networks, on the devices that the arguments ask for."""
    contexts = driver.devices(args, log) if weights else []
    return [make_network(args, one, record, contexts, log) for one in weights]


def search(args, record, samples, weights, stored, crfs):
    """Print the scores of all CRFs of the grid, and without one, by mean IoU; write them to `search.json`."""
    folder, log, crfs = test_folder(args), driver.open_log(args), (NO_CRF, *crfs)
    log.info("%d settings of the CRF on %d images", len(crfs) - 1, len(samples))
    sources = make_networks(args, weights, record, log) + stored
    scores = [Scores(record, samples) for _ in crfs]
    with CrfLabels(crfs, args.crf_workers or processors(), map_weights(sources, args.weights_of)) as labeller:
        score_samples(scores, samples, record, sources, labeller, args.prefetch_threads)
    results = [one.result() for one in scores]
    order = sorted(range(len(crfs)), key=lambda place: results[place]["mean_iou"] or 0)
    rows = [{**{name: results[place][name] for name in ("mean_iou", "pixel_acc")},
             "crf": asdict(crfs[place]) if place else None} for place in order]
    write_json(os.path.join(folder, "search.json"), {"arguments": driver.what_matters(args), "images": len(samples),
                                                     "results": rows})
    for line in search_table(rows):
        print(line)


def search_table(rows):
    """Lines of text: mean IoU, pixel accuracy and settings of every CRF (None: without one)."""
    names = [field.name for field in fields(CrfSettings)]
    yield "mean IoU  pixel accuracy  " + "  ".join(names)
    for row in rows:
        values = [f"{row['crf'][name]:{len(name)}g}" for name in names] if row["crf"] else ["no CRF"]
        yield f"{row['mean_iou'] or 0:8.2f}  {row['pixel_acc'] or 0:14.2f}  {'  '.join(values)}"


def score(args):
    """Print the scores of label images, and write `result.json` where --output is given."""
    given = args.weights or args.predictions or args.crf
    if given:
        raise UsageError("--score reads label images: --weights, --predictions and --crf do not go with it")
    record = record_of_labels(args)
    samples = labelled(find_samples(args))
    if args.output and os.path.exists(os.path.join(args.output, "result.json")) and not args.overwrite:
        raise UsageError(f"{args.output} holds a result.json: choose another --output, or give --overwrite")
    watch, scores = driver.Stopwatch(), Scores(record, samples)
    score_label_images(scores, samples, record, args.score, args.prefetch_threads)
    for line in lines_of_scores(record, scores, scores.result()):
        print(line)
    if args.output:
        driver.write_result(args.output, args, len(samples), watch.seconds, None, scores.result())


def record_of_labels(args):
    """The dataset of the label images to score: of --model or --dataset, else of their test's result."""
    args.weights, path = None, os.path.join(args.score[0], "result.json")
    if not args.model and not args.dataset and os.path.isfile(path):
        args.model = driver.read_result(path)["label"]
    if not args.model and not args.dataset:
        raise UsageError(f"there is no {path} that tells the dataset: name it with --dataset or --model")
    try:
        label = args.model and parse_label(args.model)
        args.dataset = args.dataset or label.dataset
        args.data_root = args.data_root or os.path.join("data", args.dataset)
        usual = DATASETS[args.dataset].classes if args.dataset in DATASETS else 0
        return dataset_record(args.dataset, label.classes if label else usual, args.dataset_file)
    except ValueError as error:
        raise UsageError(str(error)) from None
