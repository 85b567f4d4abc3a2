"""Readies the process for Apache MXNet 1.9.1. The other modules of this room write ``from … backend import mx``.

MXNet 1.9.1 is older than the Pythons, NumPys and NVIDIA wheels that it runs with here; what it needs from
them is set right in this file and nowhere else. `prepare` does what must happen before anybody imports MXNet,
`load` imports it, and `check_card` tells whether an NVIDIA card can run it.
"""
import contextlib
import ctypes
import os
import sys
import warnings
from importlib import import_module, metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, List, Optional, Tuple

from ademxapp.machine import processors

CPU_BUILD, CUDA_BUILD = "mxnet", "mxnet-cu112"
INSTALL = "pip install 'ademxapp[cpu]' (in a clone of the project: pip install -e '.[cpu]')"

# Folders of NVIDIA's wheels and the libraries in them that MXNet is linked with; each comes after those it needs.
CUDA_LIBRARIES = (
    ("cuda_runtime", "libcudart.so.11.0"), ("nvtx", "libnvToolsExt.so.1"), ("cuda_nvrtc", "libnvrtc.so.11.2"),
    ("cublas", "libcublasLt.so.11"), ("cublas", "libcublas.so.11"), ("cusparse", "libcusparse.so.11"),
    ("cusolver", "libcusolver.so.11"), ("curand", "libcurand.so.10"), ("cufft", "libcufft.so.10"),
    ("nccl", "libnccl.so.2"), ("cudnn", "libcudnn.so.8"))

# What mxnet-cu112 holds machine code for. There is no PTX, so a card runs the code of its own major version
# with the same or a smaller minor one (8.9 runs 8.6) and nothing else (9.0 and later have none).
COMPILED_FOR = ((5, 0), (6, 0), (7, 0), (8, 0), (8, 6))
CUDA_ERROR_NO_DEVICE = 100
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


class BackendError(ImportError):
    """MXNet cannot be used in this process; the message is one line that says why and what to do."""


def prepare() -> None:
    """Ready the process for MXNet without importing it; BackendError if this Python or NumPy cannot run MXNet 1.9.1."""
    if "numpy" not in sys.modules:  # its threads spin after each product, and keep the engine's from the processors
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.version_info >= (3, 13):
        raise BackendError("MXNet 1.9.1 needs numpy below 2, which Python {}.{} does not have: use Python 3.8 to 3.12, "
                           "or --engine torch".format(*sys.version_info))
    try:
        import numpy
    except ImportError as error:
        raise BackendError(f"NumPy cannot be imported ({error}): {INSTALL}") from None
    if int(numpy.__version__.split(".")[0]) >= 2:
        raise BackendError(f"MXNet 1.9.1 cannot work with numpy {numpy.__version__}: pip install 'numpy<2', or give "
                           "--engine torch")
    # numpy 1.24 dropped the alias, which MXNet imports. 1.20 to 1.23 keep it out of the namespace and warn when asked.
    vars(numpy).setdefault("bool", bool)
    if "mxnet" not in sys.modules:  # by default MXNet takes half of the cores, and it reads this only once
        os.environ.setdefault("OMP_NUM_THREADS", str(processors()))
        os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")  # else every bind says that oneDNN is in use


def load() -> ModuleType:
    """Import MXNet; BackendError if it, or something that it needs, is missing."""
    prepare()
    if "mxnet" not in sys.modules:
        if util.find_spec("mxnet") is None:
            raise BackendError(f"MXNet is not installed: {INSTALL}")
        if util.find_spec("distutils") is None:
            raise BackendError("MXNet needs distutils, which Python {}.{} takes from setuptools: pip install setuptools"
                               .format(*sys.version_info))
        if installed_build() == CUDA_BUILD:
            _preload_cuda()
    try:
        with warnings.catch_warnings():
            # Old escapes, distutils and NumPy's removed financial functions: MXNet's own, and of no consequence.
            for category in (DeprecationWarning, SyntaxWarning):
                warnings.filterwarnings("ignore", category=category, module=r"(.*[./])?mxnet\b")
            return import_module("mxnet")
    except (ImportError, OSError) as error:
        needs_system = any(name in str(error) for name in ("libgomp", "libquadmath"))
        extra = "cu112" if installed_build() == CUDA_BUILD else "cpu"
        hint = "sudo apt-get install libgomp1 libquadmath0" if needs_system else f"pip install 'ademxapp[{extra}]'"
        raise BackendError(f"MXNet is installed but cannot be loaded ({error}): {hint}") from error


def __getattr__(name: str) -> Any:
    if name != "mx":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["mx"] = module = load()
    return module


def installed_build() -> Optional[str]:
    """Name of the distribution whose library is on the disk: "mxnet", "mxnet-cu112", None if pip does not know it.

    Both builds install the folder `mxnet`; where both were installed, the size of the library tells which one is left.
    """
    for name in (CPU_BUILD, CUDA_BUILD):
        with contextlib.suppress(metadata.PackageNotFoundError):
            for file in metadata.files(name) or ():
                if file.as_posix() == "mxnet/libmxnet.so" and Path(file.locate()).is_file() and (
                        file.size in (None, os.path.getsize(file.locate()))):
                    return name
    return None


def check_card(index: int, build: Optional[str] = None,
               read: Optional[Callable[[], List[Tuple[int, int]]]] = None) -> None:
    """ValueError unless MXNet can run on the card of ``mx.gpu(index)``: it is there, and the build has code for it."""
    build = build or installed_build()
    if build == CPU_BUILD:
        raise ValueError(f"GPU {index}: the installed build of MXNet ({build}) runs on CPUs only: use --cpus N, "
                         f"--engine torch, or pip uninstall {CPU_BUILD} and pip install 'ademxapp[cu112]'")
    capabilities = (read or read_capabilities)()
    if not 0 <= index < len(capabilities):
        raise ValueError(f"GPU {index}: there is no such card ({len(capabilities)} found): use --cpus N")
    major, minor = capabilities[index]
    if build == CUDA_BUILD and not any(major == known and minor >= least for known, least in COMPILED_FOR):
        raise ValueError(f"GPU {index}: its compute capability is {major}.{minor}, and {build} has code for 5.0 to 8.9 "
                         "only: use --engine torch, --cpus N or another card")


def read_capabilities() -> List[Tuple[int, int]]:
    """The compute capability, (major, minor), of every card that NVIDIA's driver shows to this process."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    status = driver.cuInit(0)
    if status == CUDA_ERROR_NO_DEVICE:
        return []
    if status:
        raise ValueError(f"NVIDIA's driver does not start (cuInit gives error {status}): use --cpus N")

    def ask(function: str, *arguments: int) -> int:
        value = ctypes.c_int()
        status = getattr(driver, function)(ctypes.byref(value), *arguments)
        if status:
            raise ValueError(f"NVIDIA's driver does not answer ({function} gives error {status}): use --cpus N")
        return value.value

    cards = [ask("cuDeviceGet", index) for index in range(ask("cuDeviceGetCount"))]
    return [(ask("cuDeviceGetAttribute", CAPABILITY_MAJOR, card), ask("cuDeviceGetAttribute", CAPABILITY_MINOR, card))
            for card in cards]


def _preload_cuda() -> None:
    """Load what `mxnet-cu112` is linked with from NVIDIA's wheels, where the system's linker does not look."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise BackendError(f"{CUDA_BUILD} needs NVIDIA's driver (libcuda.so.1), which is not there: install it, "
                           f"or pip uninstall {CUDA_BUILD} and {INSTALL}") from None
    spec = util.find_spec("nvidia")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for folder, soname in CUDA_LIBRARIES:
        path = next((path for root in roots for path in Path(root, folder, "lib").glob(soname)), None)
        if path is not None:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
