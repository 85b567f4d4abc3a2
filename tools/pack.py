"""Pack the images of a list, and their labels, into RecordIO: PREFIX.rec and PREFIX.idx.

    python tools/pack.py data/camvid/train.lst --root $ADEMXAPP_DATA/camvid --out data/camvid/train
    python tools/pack.py data/ilsvrc-cls/train.lst --root data/ilsvrc12 --out data/ilsvrc-cls/train --shorter-side 480

Without --shorter-side and --quality, files are packed as they are, bit for bit. Every image is decoded, and every
record is read back and compared. A run that was killed goes on with the same command. Both drivers read the result with
--records PREFIX; MXNet's recordio module reads it too.
"""
if __name__ == "__main__":  # run as a script: import from the repository, and report errors in one line
    import pathlib
    import sys
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])
    from ademxapp.cli import run
    run("tools.pack")

import os
from typing import Optional, Sequence

from ademxapp.cli import Parser, UsageError, existing_file, make_parser, number
from ademxapp.data import packing
from ademxapp.data.lists import list_task, read_classification_list, read_segmentation_list
from ademxapp.data.records import TASKS
from ademxapp.files import write_text
from ademxapp.machine import processors
from ademxapp.processes import Pool


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Pack the list that the arguments name."""
    args = build_parser().parse_args(argv)
    if args.out.endswith((".rec", ".idx")) or not os.path.basename(args.out):
        raise UsageError(f"--out {args.out}: wanted what stands before .rec and .idx")
    if not os.path.isdir(args.root):
        raise UsageError(f"there is no folder {args.root}")
    task = args.task or list_task(args.list)
    samples = (read_classification_list if task == "classification" else read_segmentation_list)(args.list, args.root)
    plan = packing.make_plan(samples, task, packing.Encoding(args.shorter_side, args.quality))
    whole = None if args.overwrite else packing.complete(args.out, plan)
    if whole:
        print(f"{args.out}.rec: packed already, {whole['samples']} samples, {whole['left_out']} left out")
        return
    with Pool(args.workers) as pool:
        packed = packing.pack(args.out, samples, plan, pool.map, args.list, args.skip_broken, args.overwrite)
    if packed.went_on_at:
        print(f"went on behind the {packed.went_on_at} samples of an earlier run")
    print(f"{args.out}.rec: {packed.samples} samples, {os.path.getsize(f'{args.out}.rec'):,} bytes, read back and "
          "compared")
    path = f"{args.out}.left-out.txt"
    if packed.left_out:
        write_text(path, "".join(f"{reason}\n" for reason in packed.left_out))
        print(f"{path}: {len(packed.left_out)} samples left out, the first: {packed.left_out[0]}")
    elif os.path.exists(path):
        os.unlink(path)


def build_parser() -> Parser:
    """The arguments."""
    parser = make_parser(__doc__)
    parser.add_argument("list", type=existing_file, metavar="LIST", help="list of samples, of either task")
    parser.add_argument("--root", required=True, metavar="DIR", help="where list paths start")
    parser.add_argument("--out", required=True, metavar="PREFIX", help="write PREFIX.rec and PREFIX.idx")
    parser.add_argument("--task", choices=TASKS, help="of the list (default: as its lines have three fields or not)")
    parser.add_argument("--shorter-side", type=number(int, 1), metavar="PIXELS", help="resize images to this length of "
                        "their shorter side, labels by nearest neighbour (default: leave them as they are)")
    parser.add_argument("--quality", type=number(int, 1, 100), metavar="Q", help="encode images as JPEG of this "
                        f"quality (default: only those that are resized, {packing.QUALITY})")
    parser.add_argument("--skip-broken", action="store_true", help="leave out what cannot be decoded, and list it in "
                        "PREFIX.left-out.txt (default: end with the first)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there of another list or with other "
                        "options")
    parser.add_argument("--workers", type=number(int, 1, 256), default=processors(), metavar="N", help="processes")
    return parser
