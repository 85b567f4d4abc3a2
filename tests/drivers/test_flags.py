"""Every flag of both drivers, given wrongly; and the command lines that were published for the original."""
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from random_weights import random_weights
from worlds import write_trees

from ademxapp.cli import UsageError, make_parser
from ademxapp.driver import named_run
from ademxapp.symbol import label_stem, parse_label
from iclass import ilsvrc
from iclass.ilsvrc import ClassificationSettings
from issegm import voc
from issegm.settings import SegmentationSettings

DRIVERS = {"ilsvrc": (ilsvrc, ClassificationSettings), "voc": (voc, SegmentationSettings)}
DESIGN_FLAGS = {  # of DESIGN section 5: {flag: default}, where the default is a value
    "both": {"--gpus": None, "--dataset": None, "--split": "train", "--data-root": None, "--output": None,
             "--model": None, "--batch-images": None, "--crop-size": None, "--weights": None, "--lr-type": "fixed",
             "--lr-steps": None, "--from-epoch": None, "--stop-epoch": None, "--to-epoch": None, "--phase": "train",
             "--test-scales": None, "--test-flipping": False, "--kvstore": "device", "--prefetch-threads": 1,
             "--prefetcher": "thread", "--log-file": None, "--debug": False, "--check-start": 1,
             "--backward-do-mirror": False, "--cpus": None, "--seed": 0, "--list": None, "--records": None,
             "--resume": False, "--val-every": None, "--tag": None, "--overwrite": False, "--dataset-file": None},
    "ilsvrc": {"--base-lr": 0.1, "--weight-decay": 1e-4, "--check-step": 1, "--test-3crops": False,
               "--no-choose-interp-method": False, "--pool-top-infer-style": None},
    "voc": {"--base-lr": 0.0016, "--weight-decay": 5e-4, "--check-step": 4, "--origin-size": None,
            "--scale-rate-range": (0.7, 1.3), "--test-steps": 1, "--save-predictions": False,
            "--no-save-results": False, "--cache-images": 1, "--head": "2conv", "--loss": "ohem"},
}
PUBLISHED = [line.strip() for line in """
iclass/ilsvrc.py --data-root data/ilsvrc12 --output output --batch-images 10 --phase val --weights models/ilsvrc-cls_rna-a_cls1000_ep-0001.params --split val --test-scales 320 --gpus 0 --no-choose-interp-method --pool-top-infer-style caffe
iclass/ilsvrc.py --data-root data/ilsvrc12 --output output --batch-images 10 --phase val --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --split val --test-scales 320 --gpus 0 --no-choose-interp-method
iclass/ilsvrc.py --gpus 0,1,2,3 --data-root data/ilsvrc12 --output output --model ilsvrc-cls_rna-a_cls1000 --batch-images 256 --crop-size 224 --lr-type linear --base-lr 0.1 --to-epoch 90 --kvstore local --prefetch-threads 8 --prefetcher process --backward-do-mirror
iclass/ilsvrc.py --gpus 0,1,2,3 --data-root data/ilsvrc12 --output output --model ilsvrc-cls_rna-a1_cls1000_from-a --batch-images 256 --crop-size 224 --weights models/ilsvrc-cls_rna-a_cls1000_ep-0001.params --lr-type linear --base-lr 0.01 --to-epoch 9 --kvstore local --prefetch-threads 8 --prefetcher process --backward-do-mirror
issegm/voc.py --data-root data/VOCdevkit --output output --phase val --weights models/voc_rna-a1_cls21_s8_ep-0001.params --split val --test-scales 500 --test-flipping --gpus 0
issegm/voc.py --data-root data/cityscapes --output output --phase val --weights models/cityscapes_rna-a1_cls19_s8_ep-0001.params --split val --test-scales 2048 --test-flipping --gpus 0
issegm/voc.py --gpus 0,1,2,3 --split train --data-root data/cityscapes --output output --model cityscapes_rna-a1_cls19_s8 --batch-images 16 --crop-size 500 --origin-size 2048 --scale-rate-range 0.7,1.3 --weights models/ilsvrc-cls_rna-a1_cls1000_ep-0001.params --lr-type fixed --base-lr 0.0016 --to-epoch 140 --kvstore local --prefetch-threads 8 --prefetcher process --cache-images 0 --backward-do-mirror
issegm/voc.py --gpus 0,1,2,3 --split train --data-root data/cityscapes --output output --model cityscapes_rna-a1_cls19_s8_x1-140 --batch-images 16 --crop-size 500 --origin-size 2048 --scale-rate-range 0.7,1.3 --weights output/cityscapes_rna-a1_cls19_s8_ep-0140.params --lr-type linear --base-lr 0.0008 --to-epoch 64 --kvstore local --prefetch-threads 8 --prefetcher process --cache-images 0 --backward-do-mirror
issegm/voc.py --data-root data/ade20k --output output --phase val --weights models/ade20k_rna-a1_cls150_s8_ep-0001.params --split val --test-scales 500 --test-flipping --test-steps 2 --gpus 0
""".splitlines() if line.strip()]  # noqa: E501 (as printed)


# Flags


def parser(program):
    module, settings = DRIVERS[program]
    return make_parser(module.__doc__, settings)


def actions(program):
    return {option: action for action in parser(program)._actions for option in action.option_strings}


@pytest.mark.parametrize("program", DRIVERS)
def test_the_flags_and_defaults_are_those_of_the_design(program):
    found = actions(program)
    for flag, default in {**DESIGN_FLAGS["both"], **DESIGN_FLAGS[program]}.items():
        assert flag in found, flag
        assert found[flag].default == default, flag
    for action in found.values():
        assert action.help, action.option_strings
    text = parser(program).format_help()
    for group in ("what to do:", "devices:", "data:", "training:", "testing:"):
        assert group in text


def wrong_values(program):
    """`(flag, value)` of every flag that does not take any text: of another type, out of range, none of the choices."""
    for flag, action in actions(program).items():
        if action.choices:
            yield flag, "nonsense"
        elif flag == "--tag":
            yield flag, "a/b"
        elif action.type is not None:
            yield flag, "nonsense"
            yield flag, "-3"
            yield flag, "nan"
            yield flag, "inf"


@pytest.mark.parametrize("program, flag, value", [(program, *wrong) for program in DRIVERS
                                                  for wrong in wrong_values(program)])
def test_a_wrong_value_is_named_with_its_flag(program, flag, value):
    with pytest.raises(UsageError, match=flag) as error:
        parser(program).parse_args([f"{flag}={value}"])
    assert value in str(error.value) and "\n" not in str(error.value)


# Published command lines


def on_cpus(line, width=None):
    """A published line with CPU devices for its cards and, with `width`, networks of that width."""
    line = line.replace("--gpus 0,1,2,3", "--cpus 4").replace("--gpus 0", "--cpus 1")
    for network in ("rna-a_", "rna-a1_") if width else ():
        line = line.replace(network, f"{network[:-1]}-w{width}_")
    return shlex.split(line)


@pytest.mark.parametrize("line", PUBLISHED)
def test_published_lines_are_understood(line, monkeypatch):
    monkeypatch.setattr("os.path.isfile", lambda path: True)
    monkeypatch.setattr("os.access", lambda path, mode: True)
    script, *arguments = shlex.split(line)
    program = script.split("/")[1][:-len(".py")]
    args = named_run(DRIVERS[program][1].from_args(parser(program).parse_args(arguments)))
    label = parse_label(args.model)
    asked = {name[2:]: value for name, value in zip(arguments, arguments[1:]) if name.startswith("--")}
    assert args.model == asked.get("model", label_stem(asked.get("weights", "")))
    assert args.data_root == asked["data-root"] and args.output == "output"
    assert args.gpus == tuple(range(len(asked["gpus"].split(","))))
    assert label.dataset == args.dataset in ("ilsvrc-cls", "voc", "cityscapes", "ade20k")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_published_lines_run(tmp_path, monkeypatch, data_root):
    """As printed on stand-ins: the tests at full width, the trainings narrow and for one epoch of one batch."""
    monkeypatch.chdir(tmp_path)
    write_trees(data_root)
    for line in PUBLISHED:
        testing = "--phase val" in line
        command = on_cpus(line, None if testing else 0.03) + ([] if testing else ["--stop-epoch", "1"])
        weights = command[command.index("--weights") + 1] if "--weights" in command else None
        if weights and not Path(weights).exists():
            random_weights(weights)
        subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], check=True)
        if testing:
            result = json.loads(Path("output", Path(weights).stem, "result.json").read_text())
            assert result["images"] == (3 if "ilsvrc" in line else 1)
            Path(weights).unlink()  # half a gigabyte each
        else:
            label = command[command.index("--model") + 1]
            assert Path("output", f"{label}_ep-0001.params").exists()
