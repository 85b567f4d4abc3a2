"""The weights that the authors released: their MD5 sums, inputs and scores, and the commands that give the scores."""
import json
from dataclasses import asdict

from ademxapp.symbol import network, parse_label
from ademxapp.text_tables import FORMATS, table
from ademxapp.weights.released import RELEASED

COLUMNS = ("file", "MD5", "classes", "stride", "head", "score on the validation set (%)")


def add_arguments(parser):
    """The arguments of `weights.py list`."""
    parser.add_argument("--format", choices=FORMATS, default="table", help="of what is printed")


def run(args):
    """Print the registry."""
    if args.format == "json":
        print(json.dumps([as_record(released) for released in RELEASED], indent=1))
        return
    print(table(COLUMNS, [row(released) for released in RELEASED], args.format == "markdown"))
    print("\nImages:\n")
    for text in dict.fromkeys(map(input_text, RELEASED)):  # each once
        print(f"    {text}")
    print("\nThe published commands, which give the scores:\n")
    for released in RELEASED:
        print(f"    {released.command}")


def row(released):
    """One line of the table."""
    label = parse_label(released.label)
    scores = ", ".join(f"{name} {percent:.2f}" for name, percent in released.scores)
    return released.file, released.md5, label.classes, label.stride or "", released.head or "", scores


def as_record(released):
    """All that is known of a file, as a dictionary."""
    label = parse_label(released.label)
    return {"file": released.file, **asdict(released), "classes": label.classes, "stride": label.stride,
            "input": asdict(network(label.network).input)}


def input_text(released):
    """The images that a file's network expects, in words."""
    settings = network(parse_label(released.label).network).input
    return (f"RGB / 255, less {settings.mean}, over {settings.std}; pre-trained on crops of {settings.train_crop} "
            "pixels, tested on images of the size in the command")
