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

from types import ModuleType
from typing import Optional, Sequence, Type

from ademxapp.cli import Formatter, make_parser
from ademxapp.processes import Pool

from .preparing import (
    ade20k,
    camvid,
    cifar10,
    cityscapes,
    coco,
    common,
    demo,
    folders,
    ilsvrc_cls,
    own,
    pascal_context,
    places365,
    voc,
)
from .preparing.tree import require_tree

PREPARERS = {"ade20k": ade20k, "camvid": camvid, "cifar10": cifar10, "cityscapes": cityscapes, "coco": coco,
             "demo": demo, "folders": folders, "ilsvrc-cls": ilsvrc_cls, "own": own, "pascal-context": pascal_context,
             "places365": places365, "voc": voc}


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Prepare the dataset that the arguments name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET", help="one of:")
    for name, module in sorted(PREPARERS.items()):
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__,
                                      formatter_class=Formatter, allow_abbrev=False)
        settings_of(module).add_to(command)
    args = parser.parse_args(argv)
    module = PREPARERS[args.dataset]
    asked = settings_of(module).from_args(args)
    require_tree(module.__doc__, asked)
    with Pool(asked.workers) as pool:
        written = []
        for split in module.splits(asked):
            common.prepare_split(split, asked, pool)
            written.append(split)
    if isinstance(asked, common.OwnPreparation) and not asked.no_decode:
        for line in common.shared_images(written):
            print(f"odd: {line}")
    absent = [name for name in split.kind.sizes if name not in {split.name for split in written}]
    if absent:
        print(f"no list of {', '.join(absent)}: see `prepare.py {args.dataset} --help` for what each needs")


def settings_of(module: ModuleType) -> Type[common.Preparation]:
    """What a dataset is asked for."""
    return getattr(module, "Settings", common.Preparation)
