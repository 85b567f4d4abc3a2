"""The commands summary.py and `bench.py networks`."""
import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from ademxapp.cli import UsageError
from ademxapp.inspection import costs
from tools import bench, summary

ROOT = Path(__file__).resolve().parents[2]
NEEDS_MXNET = pytest.mark.skipif(util.find_spec("mxnet") is None, reason="needs MXNet, which is not installed")


@NEEDS_MXNET
def test_a_table_shows_the_layers_and_both_plans(capsys):
    summary.main(["voc_rna-a1_cls21_s8", "--head", "1conv"])
    text = capsys.readouterr().out
    lines = {line.split()[1]: line for line in text.splitlines() if line[:1].isdigit()}
    assert lines["5b1"].split()[:4] == ["5", "5b1", "..", "5b2"]
    assert "63x63" in lines["7a"] and " 0.5 " in lines["7a"]
    last = text.splitlines()[-1] if "longest" not in text else text.splitlines()[-3]
    assert "105,845,077 + 47,744" in last and "5,956" in last and "2,763 (0.46)" in last


def test_several_networks_in_markdown(capsys):
    summary.main(["rn-101", "inception-resnet-v2", "--brief", "--format", "markdown", "--batch", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("| --- |")
    assert [line.split("|")[3].strip() for line in lines[2:4]] == ["101", "96"]
    assert "longest path has 176 layers" in lines[-1]


@NEEDS_MXNET
def test_json_has_every_layer(capsys):
    summary.main(["x_vgg-16-w0.125_cls21_s8", "--format", "json", "--crop", "64"])
    found, = json.loads(capsys.readouterr().out)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert layers["fc6"]["dilation"] == [12, 12] and layers["fc6"]["shape"] == [128, 8, 8]
    assert found["multiply_adds"] == sum(layer["multiply_adds"] for layer in layers.values())
    assert found["training_bytes"] >= found["recomputed_bytes"] > 0


def test_a_plot_and_a_file(tmp_path):
    summary.main(["rna-e-w0.1", "rn-50-w0.1", "--plot", str(tmp_path / "costs.png"), "--output",
                  str(tmp_path / "costs.txt")])
    assert (tmp_path / "costs.png").read_bytes()[:4] == b"\x89PNG"
    assert "rn-50-w0.1" in (tmp_path / "costs.txt").read_text()


def test_wrong_use_is_one_line():
    with pytest.raises(UsageError, match="no label given"):
        summary.main([])
    done = subprocess.run([sys.executable, "tools/summary.py", "voc_rna-z_cls21_s8"], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "known are rna-a" in done.stderr


def test_without_mxnet_there_is_what_the_engine_plans(capsys, monkeypatch):
    monkeypatch.setattr(costs, "can_plan", lambda: False)
    summary.main(["rna-a1", "--brief", "--batch", "4"])
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if "rna-a1" in line).split()
    assert line[-3:-1] == ["–", "–"] and int(line[-1].replace(",", "")) > 0
    assert text.splitlines()[-1] == summary.WITHOUT_MXNET


def test_bench_networks(capsys):
    bench.main(["networks", "rna-f-w0.03125", "--crop", "32", "--batch", "1", "--rounds", "1", "--format", "json"])
    item, = json.loads(capsys.readouterr().out)
    assert item["ratio"] == pytest.approx(item["rates"][0] / item["other_rates"][0])
    assert (item["what"], item["against"], item["remark"]) == ("rna-f-w0.03125", "rn-101", "1 x 32x32")
    with pytest.raises(ValueError, match="known are"):
        bench.main(["networks", "rn-51"])
    with pytest.raises(UsageError, match=r"without --gpus it runs on the CPU"):
        bench.main(["networks", "rna-f", "--gpus", "99"])
