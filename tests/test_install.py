"""What is installed: the packages with all of their files, and the commands."""
import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from test_drivers import site_without

from tools.commands import PROGRAMS

PACKAGES = ("ademxapp", "iclass", "issegm", "tools")
NOT_INSTALLED = {"tools/setup.sh", "tools/pythons.sh"}  # which install


def sources():
    """The packages' files, paths from the root."""
    return {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in (".pyc", ".so") and "__pycache__" not in path.parts}


def test_every_command_is_a_program():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].split("\n")
    commands = dict(map(str.strip, line.split("=")) for line in lines if line)
    assert commands == {f"ademxapp-{name}": "tools.commands:main" for name in PROGRAMS}
    for module in PROGRAMS.values():
        assert "\ndef main(" in Path(importlib.util.find_spec(module).origin).read_text(), module


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A wheel and an sdist, built of a copy of the project."""
    if not any(map(importlib.util.find_spec, ("setuptools.command.bdist_wheel", "wheel"))):
        pytest.skip("no wheels can be built here: pip install wheel, or setuptools from 70.1 on")
    folder = tmp_path_factory.mktemp("build")
    for name in (*PACKAGES, "docs", "recipes"):
        shutil.copytree(ROOT / name, folder / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "MANIFEST.in", "Makefile", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, folder / "project")
    code = "from setuptools import build_meta as build; build.build_wheel('..'); build.build_sdist('..')"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder / "project", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_wheel_and_sdist_hold_all_files(distributions, tmp_path):
    wheel, sdist = distributions
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(PACKAGES) and ".dist-info/" not in
            name} == sources() - NOT_INSTALLED
    shutil.unpack_archive(sdist, tmp_path)
    top, = tmp_path.iterdir()
    held = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert held >= sources() | {"README.md", "Makefile", "setup.cfg", "pyproject.toml", "docs/own-data.md"}


def test_commands_of_an_installed_wheel(distributions, tmp_path):
    """In a Python that has the packages that are needed, but not MXNet, and no clone of the project."""
    place, others = tmp_path / "place", site_without(tmp_path / "others", "mxnet", "ademxapp")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target",
                           place, distributions[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scripts = {path.name for path in (place / "bin").iterdir()}
    assert scripts == {f"ademxapp-{name}" for name in PROGRAMS}
    for name, words in (("predict", "--model ONNX"), ("prepare", "cityscapes"), ("weights", "export")):
        done = subprocess.run([sys.executable, "-S", place / "bin" / f"ademxapp-{name}", "--help"], cwd=tmp_path,
                              capture_output=True, text=True, timeout=200,
                              env={**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{others}"})
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: ademxapp-{name} ") and words in done.stdout
