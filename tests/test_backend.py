"""What a user of another Python, NumPy, MXNet build or card than ours gets to see."""
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from ademxapp import backend

NUMPY = "__version__ = '{}'\n"
# As numpy 1.20 to 1.23 have it: not in the namespace, and a warning for those who ask.
NUMPY_WARNS = NUMPY.format("1.23.5") + """
import warnings
def __getattr__(name):
    if name != "bool":
        raise AttributeError(name)
    warnings.warn("numpy.bool is deprecated", DeprecationWarning)
    return bool
"""
MXNET = "import numpy\nnumpy.bool\n"


def run(folder, code, modules=(), **environment):
    """Run code in a Python that has the project and the given stand-ins (name -> source), and nothing else."""
    for name, source in dict(modules).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    own = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(  # -S: no site-packages
        [sys.executable, "-S", "-W", "error", "-c", code], capture_output=True, text=True,
        env={**kept, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **environment}, cwd=folder)


def message(folder, modules=(), before=""):
    """The message of the BackendError that ``from ademxapp.backend import mx`` ends with."""
    code = before + """
try:
    from ademxapp.backend import mx
except ImportError as error:
    print(type(error).__name__, error, sep=": ")
"""
    done = run(folder, code, modules)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BackendError: ") and done.stdout.count("\n") == 1, done.stdout
    return done.stdout


@pytest.mark.parametrize("modules, before, wanted", [
    ({}, "", ["NumPy", "pip install 'ademxapp[cpu]'"]),
    ({"numpy.py": NUMPY.format("1.26.4")}, "",
     ["MXNet is not installed", "pip install 'ademxapp[cpu]'", "pip install -e '.[cpu]'"]),
    ({"numpy.py": NUMPY.format("2.1.0")}, "", ["numpy 2.1.0", "pip install 'numpy<2'"]),
    ({"numpy.py": NUMPY.format("1.26.4")}, "import sys; sys.version_info = (3, 13, 0, 'final', 0)",
     ["Python 3.13", "3.8 to 3.12"]),
    ({"numpy.py": NUMPY.format("1.26.4"), "mxnet.py": MXNET}, """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "distutils" else find_spec(name)
""", ["distutils", "pip install setuptools"]),
    ({"numpy.py": NUMPY.format("1.26.4"), "distutils.py": "",
      "mxnet.py": "raise OSError('libgomp.so.1: cannot open shared object file')"}, "", ["apt-get install libgomp1"]),
], ids=["no numpy", "no mxnet", "numpy 2", "python 3.13", "no distutils", "no libgomp"])
def test_what_is_missing_is_said_in_one_line_with_the_remedy(tmp_path, modules, before, wanted):
    said = message(tmp_path, modules, before)
    for words in wanted:
        assert words in said


def test_cuda_build_without_a_driver_says_so(tmp_path):
    modules = {
        "numpy.py": NUMPY.format("1.26.4"), "distutils.py": "", "mxnet/__init__.py": MXNET,
        "mxnet/libmxnet.so": "0123456789",
        "mxnet_cu112-1.9.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mxnet-cu112\nVersion: 1.9.1\n",
        "mxnet_cu112-1.9.1.dist-info/RECORD": "mxnet/libmxnet.so,,10\n",
        # What another build left behind: its library had another size.
        "mxnet-1.9.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mxnet\nVersion: 1.9.1\n",
        "mxnet-1.9.1.dist-info/RECORD": "mxnet/libmxnet.so,,7\n",
    }
    no_driver = """
import ctypes
def CDLL(name, *_, **__):
    raise OSError(name)
ctypes.CDLL = CDLL
"""
    said = message(tmp_path, modules, no_driver)
    assert "mxnet-cu112" in said and "libcuda.so.1" in said and "pip install 'ademxapp[cpu]'" in said


@pytest.mark.parametrize("numpy", [NUMPY.format("1.19.5") + "bool = bool", NUMPY_WARNS, NUMPY.format("1.26.4")],
                         ids=["has it", "warns", "lacks it"])
@pytest.mark.parametrize("code", ["import ademxapp, mxnet", "from ademxapp.backend import mx; print(mx.__name__)"],
                         ids=["plain import", "lazy import"])
def test_mxnet_finds_numpy_bool_and_nothing_warns(tmp_path, numpy, code):
    done = run(tmp_path, code, {"numpy.py": numpy, "mxnet.py": MXNET, "distutils.py": ""})
    assert done.returncode == 0, done.stderr


def test_the_package_does_not_import_mxnet(tmp_path):
    done = run(tmp_path, "import ademxapp", {"numpy.py": NUMPY.format("1.26.4"), "mxnet.py": "1 / 0"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code, environment, wanted", [
    ("import ademxapp", {}, "1"),
    ("import ademxapp", {"OMP_NUM_THREADS": "7"}, "7"),
    ("import mxnet, ademxapp", {}, "None"),
], ids=["cores of the process", "set by the user", "too late"])
def test_threads(tmp_path, code, environment, wanted):
    pin = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]); "
    done = run(tmp_path, pin + code + "; print(os.environ.get('OMP_NUM_THREADS'))",
               {"numpy.py": NUMPY.format("1.19.5") + "bool = bool", "mxnet.py": MXNET}, **environment)
    assert done.stdout.strip() == wanted, done.stderr


@pytest.mark.parametrize("code, environment, wanted", [
    ("import ademxapp", {}, "1"),
    ("import ademxapp", {"OPENBLAS_NUM_THREADS": "3"}, "3"),
    ("import numpy, ademxapp", {}, "None"),
], ids=["one", "set by the user", "too late"])
def test_threads_of_numpys_products(tmp_path, code, environment, wanted):
    done = run(tmp_path, code + "; import os; print(os.environ.get('OPENBLAS_NUM_THREADS'))",
               {"numpy.py": NUMPY.format("1.26.4")}, **environment)
    assert done.stdout.strip() == wanted, done.stderr


def test_mx_is_mxnet():
    assert backend.mx.__name__ == "mxnet" and backend.load() is backend.mx
    assert backend.installed_build() in ("mxnet", "mxnet-cu112")


# https://docs.nvidia.com/cuda/ada-compatibility-guide and its siblings: binary code runs within its major version,
# upwards; the library has it for 5.0, 6.0, 7.0, 8.0 and 8.6.
@pytest.mark.parametrize("capability, runs", [
    ((3, 7), False), ((5, 0), True), ((5, 2), True), ((6, 1), True), ((7, 5), True), ((8, 0), True), ((8, 6), True),
    ((8, 9), True), ((9, 0), False), ((10, 0), False), ((12, 0), False),
])
def test_cards_that_the_cuda_build_has_code_for(capability, runs):
    def read():
        return [(8, 0), capability]

    backend.check_card(0, build="mxnet-cu112", read=read)
    if runs:
        backend.check_card(1, build="mxnet-cu112", read=read)
    else:
        with pytest.raises(ValueError, match="GPU 1: .* {}\\.{}, .*mxnet-cu112.*--cpus".format(*capability)):
            backend.check_card(1, build="mxnet-cu112", read=read)


@pytest.mark.parametrize("index", [-1, 1])
def test_a_card_that_is_not_there(index):
    with pytest.raises(ValueError, match=r"no such card \(1 found\).*--cpus"):
        backend.check_card(index, build="mxnet-cu112", read=lambda: [(8, 6)])


def test_the_cpu_build_runs_on_no_card():
    with pytest.raises(ValueError, match="GPU 0: .*CPUs only.*--cpus"):
        backend.check_card(0, build="mxnet", read=lambda: [(8, 6)])
