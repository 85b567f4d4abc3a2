"""Damaged files of users: each is read or refused with one clear line, in 2 s and 1 GiB (see mutated_files.py)."""
import io
import os
import shutil
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from ademxapp.data.images import ImageFile
from ademxapp.evaluation.score_files import read_scores
from ademxapp.files import read_yaml
from tools.reproducing.recipes import read_recipe

QUICK = {"rec": 60, "idx": 30, "lst": 40, "packed-lst": 20, "dataset": 60, "recipe": 60, "image": 120, "scores": 60,
         "msctest": 30}
MANY = {"rec": 2000, "idx": 2000, "lst": 2000, "packed-lst": 500, "dataset": 2000, "recipe": 2000, "image": 2000,
        "scores": 2000, "msctest": 1000}


def mutate(kind, folder, first, last):
    """(read, refused) of the mutants of a kind from `first` to before `last`, by a process of its own."""
    done = subprocess.run([sys.executable, "tests/helpers/mutated_files.py", kind, str(folder), str(first), str(last)],
                          cwd=ROOT, capture_output=True, text=True,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    number = (folder / "number").read_text() if (folder / "number").exists() else "none"
    assert done.returncode == 0, f"mutant {number} of {kind}: status {done.returncode}\n{done.stderr[-2000:]}"
    return tuple(map(int, done.stdout.split()))


@pytest.mark.parametrize("kind", QUICK)
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    read, refused = mutate(kind, tmp_path, 0, QUICK[kind])
    assert read + refused == QUICK[kind] and read and refused > QUICK[kind] / 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", MANY)
def test_many_damaged_files_are_read_or_refused(kind, tmp_path):
    assert sum(mutate(kind, tmp_path, 0, MANY[kind])) == MANY[kind]


def run(*command):
    """A command's exit status and the last line that it wrote to stderr."""
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_commands_refuse_damaged_files_with_a_line(tmp_path):
    """What the drivers' users see: the commands themselves, of each kind of file one that is cut."""
    mutate("scores", tmp_path, 0, 0)
    for name in ("images", "labels"):
        os.makedirs(tmp_path / "own" / name / "train")
        whole = tmp_path / "whole" / name / {"images": "plain.jpg", "labels": "grey.png"}[name]
        shutil.copy(whole, tmp_path / "own" / name / "train" / f"a{whole.suffix}")
        (tmp_path / "own" / name / "train" / f"b{whole.suffix}").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "own.yaml").write_text("class_names: [a, b, c]\n")
    (tmp_path / "cut.yaml").write_text("class_names: [a, b\n")
    own = ("tools/prepare.py", "own", "--root", tmp_path / "own", "--out", tmp_path / "lists", "--dataset-file")
    status, line = run(*own, tmp_path / "own.yaml")
    assert status == 1 and "b.jpg cannot be decoded" in line
    status, line = run(*own, tmp_path / "cut.yaml")
    assert status == 1 and "cut.yaml is no YAML" in line
    (tmp_path / "x.lst").write_text("own/images/train/b.jpg\n")
    status, line = run("tools/pack.py", tmp_path / "x.lst", "--root", tmp_path, "--out", tmp_path / "x")
    assert status == 1 and "x.lst:1: " in line and "b.jpg cannot be decoded" in line
    scores = tmp_path / "predicted" / "scores"
    os.makedirs(scores)
    (scores / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:900])
    status, line = run("tools/msctest.py", "--predictions", scores.parent, "--data-root", tmp_path, "--list",
                       tmp_path / "x.lst")
    assert status == 1 and "b.h5 is no whole score file" in line


def with_size(jpeg, width, height):
    """A JPEG that says it has another size."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4:]


def test_an_image_larger_than_its_file_can_hold_is_refused():
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (10, 200, 30)).save(out, "JPEG")
    assert ImageFile(with_size(out.getvalue(), 4000, 4000), "x").size == (4000, 4000)
    with pytest.raises(ValueError, match="x cannot be decoded: 6.. bytes hold no 10000x10000 pixels"):
        ImageFile(with_size(out.getvalue(), 10_000, 10_000), "x")


def test_plain_images_of_many_pixels_are_read():
    for form, options in (("JPEG", {}), ("JPEG", {"progressive": True, "optimize": True}), ("PNG", {"bits": 1})):
        out = io.BytesIO()
        Image.new("L" if form == "JPEG" else "P", (5000, 5000)).save(out, form, **options)
        assert ImageFile(out.getvalue(), "x").size == (5000, 5000)


@pytest.mark.parametrize("text, words", [
    ("a: " + "[" * 2000, "more than 50 brackets within each other"), ("- " * 2000, "nested too deeply"),
    ("a: &x [1]\nb: [*x, *x]\n", r"the alias \*x stands for more than one value"), ("a: !!bool x\n", "is no YAML"),
    ("a: !!set {b}\n", "could not determine a constructor"), ("#" * 2 ** 21, "wanted at most 1,048,576")])
def test_yaml_that_costs_much_is_refused(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"x.yaml .*{words}"):
        read_yaml(path)


def test_yaml_of_plain_values(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &x text\nb: [*x, 1, 1.5, true, ~]\nc: 2001-01-01\n")
    assert read_yaml(path) == {"a": "text", "b": ["text", 1, 1.5, True, None], "c": "2001-01-01"}


def test_scores_larger_than_their_file_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=("v108", "v108")) as out:
        out.create_dataset("scores", (1000, 1000, 1000), np.float16, fillvalue=1)
    with pytest.raises(ValueError, match="x.h5 is no whole score file: its scores would be 2000000000 bytes"):
        read_scores(str(path))
    with h5py.File(path, "w") as out:
        out["scores"] = np.zeros((1, 2, 2), np.float16)
    with pytest.raises(ValueError, match="x.h5 is no whole score file: it is no HDF5 file with checksums"):
        read_scores(str(path))


@pytest.mark.parametrize("line, words", [
    ("steps: [{name: a, run: b, makes: c, expect: [1]}]", "'a': expect: wanted a mapping"),
    ("steps: [{name: a, run: b, makes: c, with: {d: [[1]]}}]", "'a': with: 0: wanted a number"),
    ("steps: [{name: a, command: b, makes: c}]", "steps: wanted mappings with name, run and makes"),
    ("steps: [{name: a, run: b, makes: c, flags: d}]", "'a': 'flags' is unknown"),
    ("steps: [{name: a, run: b, makes: '{'}]", "'a': '{' has braces"),
    ("steps: [{name: 1, run: b, makes: c}]", "1: name: wanted a text"),
    ("steps: []\nfor: [1]", "for: wanted a list of mappings"),
    ("steps: []\nneeds: {a: 1}", "needs: a: wanted a text"), ("steps: []\ntime: 1", "time: wanted a text")])
def test_recipes_that_cannot_be_run_are_refused(tmp_path, line, words):
    path = tmp_path / "x.yaml"
    path.write_text(f"title: t\noutput: o\n{line}\n")
    with pytest.raises(ValueError, match=f"x.yaml: {words}"):
        read_recipe(str(path))
