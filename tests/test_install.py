"""What is installed: the packages with all of their files, and the commands."""
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from worlds import site_without

from ademxapp.backend import CUDA_LIBRARIES
from tools import PROGRAMS

PACKAGES = ("ademxapp", "iclass", "issegm", "models", "tools")
OWN = ("README.md", "imagenette128_", "camvid_")  # of what is in models/, where people put other weights as well
NOT_INSTALLED = {"tools/setup.sh", "tools/pythons.sh"}  # which install
AS = {"tools": "ademxapp/programs", "models": "ademxapp/models"}  # what folders are called in the wheel


def installed(name):
    """A file's place in the wheel."""
    folder, _, rest = name.partition("/")
    return f"{AS.get(folder, folder)}/{rest}"


def sources():
    """The packages' files, paths from the root."""
    return {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in (".pyc", ".so") and "__pycache__" not in path.parts
            and (package != "models" or path.name.startswith(OWN))}


def test_every_command_is_a_program():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].split("\n")
    commands = dict(map(str.strip, line.split("=")) for line in lines if line)
    assert commands == {f"ademxapp-{name}": "ademxapp.programs:main" for name in PROGRAMS}
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
    for name in ("README.md", "MANIFEST.in", "Makefile", "pyproject.toml", "setup.cfg", "setup.py"):
        shutil.copy(ROOT / name, folder / "project")
    code = "from setuptools import build_meta as build; build.build_wheel('..'); build.build_sdist('..')"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder / "project", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_wheel_and_sdist_hold_all_files(distributions, tmp_path):
    wheel, sdist = distributions
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {installed(name) for name in sources() - NOT_INSTALLED}
    shutil.unpack_archive(sdist, tmp_path)
    top, = tmp_path.iterdir()
    held = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert held >= sources() | {"README.md", "Makefile", "setup.cfg", "setup.py", "pyproject.toml", "docs/own-data.md"}


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


@pytest.mark.skipif(not (ROOT / "tools" / "pythons.sh").exists(), reason="only a clone has tools/pythons.sh")
def test_where_no_python_is_found_there_is_nothing_that_passed(tmp_path):
    for name, content in (("bin/python3.8", "#!/bin/sh\nexit 1\n"), ("tools/pythons.sh", None)):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(content or (ROOT / name).read_text())
        path.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh", tmp_path / "tools" / "pythons.sh"], capture_output=True, text=True,
                          env={**os.environ, "PATH": path, "PYENV_ROOT": str(tmp_path), "PYTHONS": "3.8"})
    assert done.returncode == 1 and "none of Python 3.8 to 3.14 was found" in done.stderr
    assert re.search(r"^3\.8 .*not found$", done.stdout, re.MULTILINE)


# The CUDA build, without a card: all of its libraries load if there is a driver's library, here a stand-in for one.

DRIVER = """
#include <stdlib.h>
#define NO_DEVICE 100
int cuInit(unsigned flags) { return getenv("CARD") ? 0 : NO_DEVICE; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *card, int index) { *card = index; return 0; }
int cuDeviceGetAttribute(int *value, int which, int card) {
    int capability = atoi(getenv("CARD"));
    *value = which == 75 ? capability / 10 : capability % 10;
    return 0;
}
"""
LOADED = """
from ademxapp import backend
print(backend.installed_build(), backend.mx.nd.ones((2, 2)).sum().asscalar(), backend.mx.context.num_gpus())
print(*sorted({line.split("/nvidia/")[1].strip() for line in open("/proc/self/maps") if "/nvidia/" in line}))
"""


def driver_functions(folder):
    """Names of the functions of NVIDIA's driver that the libraries in a folder want."""
    paths = [path for path in folder.rglob("*.so*") if path.read_bytes()[:4] == b"\x7fELF"]
    wanted = subprocess.run(["nm", "-D", "--undefined-only", *paths], capture_output=True, text=True, check=True).stdout
    return {name for name in re.findall(r" U (cu[A-Z]\w*)$", wanted, re.MULTILINE)}


def build_driver(folder, functions):
    """A libcuda.so.1 that has the functions: no card, or one of the capability 10 x major + minor in $CARD."""
    own = set(re.findall(r"int (cu\w+)", DRIVER))
    others = "".join(f"int {name}(void) {{ return NO_DEVICE; }}\n" for name in sorted(functions - own))
    folder.mkdir()
    (folder / "driver.c").write_text(DRIVER + others)
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", folder / "libcuda.so.1",
                    folder / "driver.c"], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not all(map(shutil.which, ("cc", "nm"))), reason="there is no C compiler for the stand-in driver")
def test_the_cuda_build_loads_up_to_the_driver(distributions, tmp_path):
    """Downloads three gigabytes, into an empty environment."""
    run, driver = tmp_path / "venv" / "bin" / "python", tmp_path / "driver"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([run, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile",
                    f"{distributions[0]}[cu112]"], check=True)

    def python(code, **environment):
        done = subprocess.run([run, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, **environment})
        return done.stdout + done.stderr.strip().rpartition("\n")[2]

    assert "mxnet-cu112 needs NVIDIA's driver (libcuda.so.1), which is not there" in python(LOADED)
    site, = (tmp_path / "venv" / "lib").glob("*/site-packages")
    build_driver(driver, driver_functions(site / "mxnet") | driver_functions(site / "nvidia"))
    build, libraries = python(LOADED, LD_LIBRARY_PATH=str(driver)).splitlines()
    assert build == "mxnet-cu112 4.0 0"
    assert set(libraries.split()) >= {f"{folder}/lib/{soname}" for folder, soname in CUDA_LIBRARIES}
    card = "from ademxapp import backend; backend.check_card(0); print('right')"
    assert python(card, LD_LIBRARY_PATH=str(driver), CARD="86") == "right\n"
    assert "compute capability is 9.0" in python(card, LD_LIBRARY_PATH=str(driver), CARD="90")
