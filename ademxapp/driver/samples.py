"""Where the samples of a split come from."""
import os
from argparse import Namespace

from ademxapp.data.class_folders import scan_tree
from ademxapp.data.records import read_records
from ademxapp.errors import UsageError


def find_samples(args, label, read_list, tree=False, unknown=False, folders=()):
    """Samples of a split: of --list or --records, else data/<dataset>/<split>.lst, else, with `tree`, class folders.

    `read_list(path)` reads a list; `tree` says that the task is classification; with `unknown`, the classes of records
    need not be known, as those of a list that is read so; `folders` are the classes' of the dataset's record, if known.
    """
    default_list = os.path.join("data", args.dataset, f"{args.split}.lst")
    folder = os.path.join(args.data_root, args.split)
    if args.list:
        if not os.path.isfile(args.list):
            raise UsageError(f"there is no list {args.list}")
        return read_list(args.list)
    if args.records:
        missing = [name for name in (f"{args.records}.rec", f"{args.records}.idx") if not os.path.isfile(name)]
        if missing:
            raise UsageError(f"there is no file {missing[0]}: --records wants what stands before .rec and .idx")
        return read_records(args.records, label.classes if tree else None, unknown)
    if os.path.isfile(default_list):
        return read_list(default_list)
    if tree and os.path.isdir(folder):
        samples = scan_tree(args.data_root, args.split, label.classes, folders)
        if not samples:
            raise ValueError(f"there is no image in the class folders of {folder}")
        return samples
    places = [f"the list {default_list}"] + ([f"class folders in {folder}"] if tree else [])
    raise UsageError(f"no samples found: looked for {' and '.join(places)}; --list FILE or --records PREFIX names "
                     "others")


def validation_arguments(args, batch_images):
    """The arguments of the tests that `--val-every` asks for."""
    return Namespace(**{**vars(args), "split": "val", "list": args.val_list, "records": None,
                        "batch_images": batch_images})
