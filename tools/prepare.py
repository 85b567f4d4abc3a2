"""Check a downloaded dataset and write its lists, data/<dataset>/<split>.lst.

    python tools/prepare.py camvid --root $ADEMXAPP_DATA/camvid
    python tools/prepare.py voc --root data/VOCdevkit --sbd data/benchmark_RELEASE
    python tools/prepare.py own --root data/garden --dataset-file garden.yaml
    python tools/prepare.py demo --root data/demo        (draws it first)

Paths in the lists are relative to --root, which is what the drivers call --data-root. Labels that a dataset ships in
another form are converted below the root, and not again when they are there; what was broken off is taken up by the
same command. `python tools/prepare.py voc --help` draws the tree that VOC must have.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.prepare")

from importlib import import_module
from typing import Optional, Sequence

from ademxapp.cli import Formatter, make_parser
from ademxapp.processes import Pool

from .preparing.checking import prepare_split, shared_images
from .preparing.common import OwnPreparation, Preparation, require_tree

PREPARERS = {name: import_module(f".preparing.{name.replace('-', '_')}", __package__) for name in (
    "ade20k", "camvid", "cifar10", "cityscapes", "coco", "demo", "folders", "ilsvrc-cls", "own", "pascal-context",
    "places365", "voc")}


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Prepare the dataset that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET", help="one of:")
    settings = {name: getattr(module, "Settings", Preparation) for name, module in PREPARERS.items()}
    for name, module in PREPARERS.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__,
                                      formatter_class=Formatter, allow_abbrev=False)
        settings[name].add_to(command)
    args = parser.parse_args(argv)
    module, asked = PREPARERS[args.dataset], settings[args.dataset].from_args(args)
    require_tree(module.__doc__, asked)
    written = []
    with Pool(asked.workers) as pool:
        for split in module.splits(asked):
            prepare_split(split, asked, pool)
            written.append(split)
    if isinstance(asked, OwnPreparation) and not asked.no_decode:
        for line in shared_images(written):
            print(f"odd: {line}")
    absent = [name for name in split.record.splits if name not in {split.name for split in written}]
    if absent:
        print(f"no list of {', '.join(absent)}: see `prepare.py {args.dataset} --help` for what each needs")
