"""Weights: those that were released, in other formats, and for other programs.

    python tools/weights.py list
    python tools/weights.py check
    python tools/weights.py check --url https://my.mirror/ademxapp
    python tools/weights.py convert models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params rna-a1.pth
    python tools/weights.py convert output/pets_rna-a1_cls37_ep-0030.params pets_rna-a1_cls37_ep-0030.params --half
    python tools/weights.py record pets_rna-a1_cls37_ep-0030.params --result output/…/result.json --terms "CC0"
    python tools/weights.py export output/camvid_rna-a1_cls11_s8_ep-0030.params --dynamic --out camvid.onnx
    python tools/weights.py export models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --size 320 --normalise uint8 \\
        --out ilsvrc.onnx
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.weights", needs_mxnet=False)

import argparse
import contextlib
import inspect
import json
import os
from dataclasses import asdict, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ademxapp.cli import TABLES, Formatter, Parser, UsageError, existing_file, make_parser, number, numbers, table
from ademxapp.deploy.onnx_model import PIXEL_TYPES, export_onnx
from ademxapp.engine import ENGINES, load
from ademxapp.errors import one_line, usage_errors
from ademxapp.files import digest, read_json, without_places
from ademxapp.symbol import network, parse_label
from ademxapp.weights.describe import describe, problems, symbol_to_test
from ademxapp.weights.description import (
    SEGMENTATION,
    Description,
    description_path,
    kept_description,
    only,
    write_description,
)
from ademxapp.weights.formats import FORMATS, Weights, is_format, read_weights, write_weights
from ademxapp.weights.parameters import load_parameters
from ademxapp.weights.released import BY_FILE, RELEASED, Released, fetch, shipped_folder
from iclass import datasets as classification
from issegm import datasets as segmentation

SCORES = {"top1_error": "top-1 error", "top5_error": "top-5 error", "pixel_acc": "pixel accuracy",
          "mean_iou": "mean IoU"}
RECORDED = {"tested": "tested on", "made_by": "made by", "terms": "terms"}
COLUMNS = ("file", "MD5", "classes", "stride", "head", "score on the validation set (%)")


def main(argv: Optional[Sequence[str]] = None) -> Optional[int]:
    """Run the command that the arguments name."""
    arguments = vars(build_parser().parse_args(argv))
    return arguments.pop("run")(**arguments)


def build_parser() -> Parser:
    """The commands, which are functions below, and their arguments."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", help="one of:")

    def command(name: str, run: Callable[..., Optional[int]], text: str) -> argparse.ArgumentParser:
        part = commands.add_parser(name, help=text, description=inspect.getdoc(run), formatter_class=Formatter,
                                   allow_abbrev=False)
        part.set_defaults(run=run)
        return part

    add = command("list", list_weights, "the released weights and those in a folder, and their scores").add_argument
    add("--format", choices=TABLES, default="table", help="of what is printed")
    add("--folder", default=shipped_folder(), metavar="DIR",
        help="where other weights lie (default: those that come with the program)")

    add = command("check", check, "whether files of weights are whole, and fit their networks; fetch released ones"
                  ).add_argument
    add("files", nargs="*", metavar="FILE",
        help="files of weights (default: the released ones, and what else there is in --folder)")
    add("--folder", default="models", metavar="DIR", help="where the released files lie")
    add("--url", metavar="ADDRESS", help="fetch what is not there from ADDRESS/<name of the file>")

    add = command("convert", convert, "between .params, .npz, .safetensors and .pth (PyTorch)").add_argument
    add("source", type=existing_file, metavar="FROM", help=f"a file ending in {', '.join(FORMATS)}")
    add("target", metavar="TO", help="file to write, likewise")
    add("--half", action="store_true",
        help="keep weights in 16 bits, half the size; statistics stay, and programs compute as before")
    add("--overwrite", action="store_true", help="replace TO")

    add = command("record", record, "scores of a test, origin and terms, into the description of weights").add_argument
    add("weights", type=existing_file, metavar="WEIGHTS", help="with a description beside them")
    add("--result", type=existing_file, required=True, metavar="JSON", help="a test's result.json")
    add("--made-by", default="", metavar="TEXT", help="recipe and commit, in words")
    add("--terms", default="", metavar="TEXT", help="those of the data, in words")

    part = command("export", export, "a network as an ONNX file, held to the engine")
    add = part.add_argument
    add("weights", type=existing_file, metavar="WEIGHTS", help="a .params file")
    add("--out", required=True, metavar="ONNX", help="file to write")
    sizes = part.add_mutually_exclusive_group(required=True)
    sizes.add_argument("--size", type=numbers(int, 1), metavar="PIXELS", help="inputs have this side, or HEIGHT,WIDTH, "
                       "and come one by one; whole cells of a segmenter, so it may be rounded up")
    sizes.add_argument("--dynamic", action="store_true", help="inputs may have any size, and come in any number")
    add("--normalise", choices=PIXEL_TYPES, default="", metavar="|".join(PIXEL_TYPES),
        help="normalisation becomes a part of the network: inputs are RGB in 0 … 255, of this type")
    add("--model", metavar="LABEL", help="the network's label (default: from the weights' name)")
    add("--dataset-file", type=existing_file, metavar="YAML", help="a dataset that is not built in")
    add("--test-scale", type=number(int, 1), metavar="PIXELS",
        help="what the file says that images are best scaled to (default: as the weights say, else the network's test "
        "crop, the dataset's largest side)")
    add("--pool-top-infer-style", choices=("caffe", "full"), help="as in iclass/ilsvrc.py")
    add("--engine", choices=ENGINES,
        help="what the file is compared with (default: mxnet where it is installed, else torch)")
    return parser


def list_weights(format: str, folder: str) -> None:
    """The weights that the authors released: their MD5 sums, inputs and scores, and the commands that give the
    scores; and what other weights lie in a folder, as the descriptions beside them say."""
    records = [released_record(released) for released in RELEASED] + list(map(kept_record, others(folder)))
    if format == "json":
        print(json.dumps(records, indent=1, ensure_ascii=False))
        return
    rows = [(record["file"], record["md5"], *(record.get(key) or "" for key in ("classes", "stride", "head")),
             record.get("problem", ", ".join(f"{name} {percent:.2f}" for name, percent in record.get("scores", ()))))
            for record in records]
    print(table(COLUMNS, rows, format == "markdown"))
    print("\nImages:\n")
    for text in dict.fromkeys(map(input_text, records)):  # each once
        print(f"    {text}")
    print("\nThe published commands, which give the scores:\n")
    for released in RELEASED:
        print(f"    {released.command}")
    for record in records:
        if any(record.get(name) for name in RECORDED):
            print(f"\n{record['file']}\n\n    " + "\n    ".join(
                f"{words}: {record[name]}" for name, words in RECORDED.items() if record.get(name)))


def released_record(released: Released) -> Dict[str, Any]:
    """All that is known of a released file, as a dictionary."""
    label = parse_label(released.label)
    return {"file": released.file, **asdict(released), "classes": label.classes, "stride": label.stride,
            "input": asdict(network(label.network).input)}


def kept_record(path: str) -> Dict[str, Any]:
    """The same of another file, as far as its description or, without one, its name and parameters tell."""
    record: Dict[str, Any] = {"file": os.path.basename(path), "md5": digest(path, "md5")}
    try:
        known = describe(path)
    except ValueError as error:
        return {**record, "problem": one_line(error)}
    with contextlib.suppress(OSError, ValueError):
        beside = {} if known.note else read_json(description_path(path))
        record["scores"] = [(words, beside[name]) for name, words in SCORES.items() if name in beside]
        record.update((name, beside[name]) for name in RECORDED if name in beside)
    return {**record, **known.values(), "stride": known.stride if known.task == SEGMENTATION else None,
            "input": {"train_crop": known.crop_size, "test_scale": known.test_scale, "mean": known.mean,
                      "std": known.std, "interpolation": known.interpolation}}


def input_text(record: Dict[str, Any]) -> str:
    """The images that a file's network expects, in words."""
    if "problem" in record:
        return record["problem"]
    settings = record["input"]
    scale = settings.get("test_scale")
    size = f"{scale} pixels: {record['file']}" if scale else "the size in the command"
    return (f"RGB / 255, less {tuple(settings['mean'])}, over {tuple(settings['std'])}; trained on crops of "
            f"{settings['train_crop'] or 'unknown'} pixels, tested on images of {size}")


def check(files: Sequence[str], folder: str, url: Optional[str]) -> Optional[int]:
    """What lies there of the released weights, or in any files of weights: whether it is whole, and fits its network.

    A file with the name of a released one must have its MD5. Every file's parameters, in any format that convert knows,
    must be those of the network that its name tells, finite, and no variance below 0. With --url, released files that
    are not there are fetched from a mirror, which has them under the same names; they take their names when their MD5
    is right. The exit status is 1 if a file is wrong.
    """
    paths = files or [os.path.join(folder, released.file) for released in RELEASED] + others(folder)
    for path in paths if url else ():
        where, name = os.path.split(path)
        if not os.path.exists(path) and name not in BY_FILE:
            raise UsageError(f"{path} is not there, and is none of the released files that a mirror has: weights.py "
                             "list")
        if not os.path.exists(path):
            fetch(url, name, where or ".", BY_FILE[name].md5)
    status = None
    for path in paths:
        if not files and not os.path.exists(path):
            print(f"{path}: not there", flush=True)
            continue
        try:
            found = problems(path)
        except OSError as error:
            found = [one_line(error).replace(f"{path}: ", "", 1)]
        if found:
            status = 1
        md5 = "MD5 and " if os.path.basename(path) in BY_FILE else ""
        print(f"{path}: {'; '.join(found) or f'right: {md5}the parameters of its network'}", flush=True)
    return status


def others(folder: str) -> List[str]:
    """Paths of the files of weights in a folder that are none of the released ones."""
    names = sorted(set(os.listdir(folder)) - set(BY_FILE)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if is_format(name)]


def convert(source: str, target: str, half: bool, overwrite: bool) -> None:
    """Weights from one format to another, as the extensions tell; MXNet is not needed.

    .params (MXNet), .npz (NumPy), .safetensors, and .pth: a PyTorch state dict in the layout that weakly supervised
    segmentation uses for these networks (b2.conv_branch2a.weight, …), for the network in ademxapp/deploy/torch_rna.py,
    which may be copied anywhere. What was written is read back and compared, bit by bit. What is known of the weights,
    as training leaves it in a .json beside them, goes along, for .pth to <name>.pth.json.
    """
    for path in (source, target):
        if not is_format(path):
            raise UsageError(f"{path}: the extension must be one of {', '.join(FORMATS)}")
    about, note = kept_description(source)
    for path in (target, *([description_path(target)] if about else ())):
        if os.path.exists(path) and not overwrite:
            raise UsageError(f"{path} is there already: --overwrite replaces it")
    weights = read_weights(source)
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if half:
        weights = halved(weights, source)
    write_weights(target, weights)
    if about:
        write_description(target, about.values())
    if note:
        print(note)
    if broken:
        print(f"{broken[0]} has numbers that are not finite, copied as they are: the training diverged, or the file is "
              "damaged")
    print(f"{target}: {len(weights)} arrays, {os.path.getsize(target):,} bytes, read back and compared")


def halved(weights: Weights, source: str) -> Weights:
    """Weights with the arguments as float16; ValueError where one is too large for that."""
    with np.errstate(over="ignore"):  # it is told below
        kept = {name: value.astype(np.float16) if name.startswith("arg:") and value.dtype == np.float32 else value
                for name, value in weights.items()}
    large = [name for name, value in kept.items() if np.isinf(value).any() and not np.isinf(weights[name]).any()]
    if large:
        raise ValueError(f"{source}: {large[0]} has numbers beyond those of 16 bits: convert without --half")
    return kept


def record(weights: str, result: str, made_by: str, terms: str) -> None:
    """What a test found of weights, and what else a user should know, into the description beside them.

    list shows it, and programs take the test's size where none is given. The test must be of these weights, as their
    digest tells. Absolute paths in the training's settings are shortened.
    """
    path = description_path(weights)
    if kept_description(weights)[0] is None:
        raise UsageError(f"{weights} has no description of it beside it: convert from where they were trained")
    about, found = read_json(path), read_json(result)
    if digest(weights) not in (found.get("weights_sha256") or ()):
        raise UsageError(f"{result} is a test of other weights than {weights}: test these")
    arguments = found["arguments"]
    tested = "{} images of {}, at {} pixels{}".format(
        found["images"], found["split"], ", ".join(map(str, arguments["test_scales"] or [about["test_scale"]])),
        ", with mirror images" if arguments["test_flipping"] else "")
    scores = {name: found[name] for name in SCORES if name in found}
    about["recipe"] = without_places(about.get("recipe", {}))
    about["test_scale"] = only(arguments["test_scales"]) or about["test_scale"]
    write_description(weights, {**about, **scores, "tested": tested, "made_by": made_by, "terms": terms})
    print(f"{path}: {tested}: {', '.join(f'{SCORES[name]} {value:.2f}' for name, value in scores.items())}")


def export(weights: str, out: str, size: Optional[Tuple[int, ...]], dynamic: bool, normalise: str,
           model: Optional[str], dataset_file: Optional[str], test_scale: Optional[int],
           pool_top_infer_style: Optional[str], engine: Optional[str]) -> None:
    """A network as an ONNX file, held by onnxruntime to what the engine computes.

    The file has one input, `data` (N, 3, H, W), and one output, `softmax_output`: probabilities (N, classes) of a
    classifier, (N, classes, H / stride, W / stride) of a segmenter. What its inputs and classes are stands in its
    metadata.
    """
    load(engine)
    parameters = load_parameters(weights)
    with usage_errors():
        known = describe(weights, model, {name: value.shape for name, value in parameters.args.items()})
        description = asked_for(known, dataset_file, pool_top_infer_style, test_scale)
        symbol = symbol_to_test(description)
    if known.note:
        print(known.note)
    if size and len(size) > 2:
        raise UsageError(f"--size has {len(size)} numbers: wanted a side, or a height and a width")
    cell = known.stride if known.task == SEGMENTATION else 1
    shape = (-(-size[0] // cell) * cell, -(-size[-1] // cell) * cell) if size else None
    agreement = export_onnx(out, symbol, parameters, replace(description, pixels=normalise), shape)
    inputs = f"inputs of {shape[1]}x{shape[0]} pixels" if shape else "inputs of any size"
    print(f"{out}: {description.task}, {description.classes} classes, {inputs}; of {agreement.decisions:,} "
          f"decisions compared with {agreement.engine}'s, the largest difference of probabilities is "
          f"{agreement.largest:.1e}")


def asked_for(known: Description, dataset_file: Optional[str], pooling: Optional[str], scale: Optional[int]
              ) -> Description:
    """What is known of weights, with what the arguments ask for."""
    if pooling and known.task == SEGMENTATION:
        raise UsageError("--pool-top-infer-style is for classifiers; these weights segment")
    known, scale = replace(known, pool_style=pooling or known.pool_style), scale or known.test_scale
    if dataset_file or not known.class_names:
        module = segmentation if known.task == SEGMENTATION else classification
        record = module.dataset_record(parse_label(known.label).dataset, known.classes, dataset_file)
        known, scale = replace(known, **record.described()), scale or record.largest_side
    return replace(known, test_scale=scale)
