"""What all tests share."""
import importlib.util
import os
import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "tests" / "helpers"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import ademxapp  # noqa: E402
from ademxapp.engine.mxnet import backend  # noqa: E402
from ademxapp.symbol import recorder  # noqa: E402

NEEDS_MXNET = re.compile(r"^(?:from (?:ademxapp\.engine\.mxnet|tools\.benchmarks\.training)|import mxnet)",
                         re.MULTILINE)
OF_MXNET = {  # tests in files of which the others run on either engine
    "test_what_fails_is_told_and_the_rest_is_kept",  # the benchmarks tell MXNet's processors
    "test_what_is_counted_is_kept_and_is_what_the_networks_have",  # planned memory
    "test_table_2_is_the_papers", "test_recomputation_halves_the_plan", "test_recomputation_lowers_every_plan",
    "test_online_bootstrapping_is_hardly_more", "test_planning_uses_no_memory",
    "test_memory_that_is_not_there_is_told_in_one_line_with_what_needs_less",  # MXNet's own message
    "test_mx_is_mxnet", "test_parameters_are_looked_at_with_every_report",  # oneDNN's ReLU
}
WITHOUT = "needs MXNet, which is not installed"


class StandIn:
    """What tests import as `mx` where MXNet is not installed: its symbols are recorded; who wants more is skipped."""

    sym = recorder

    def __getattr__(self, name):
        if name.startswith("_") or "pytest" in name:  # pytest looks at all that a file has
            raise AttributeError(name)
        pytest.skip(WITHOUT, allow_module_level=True)


class Backend(types.ModuleType):
    """`ademxapp.backend` as tests see it there; the product's own imports see nothing of it."""

    mx = StandIn()

    def __getattr__(self, name):
        return getattr(backend, name)


def _bind_by_mxnet(*_, **__):
    """In place of the method that only MXNet's symbols have."""
    pytest.skip(WITHOUT)


if importlib.util.find_spec("mxnet") is None:
    recorder.Symbol.simple_bind = _bind_by_mxnet
    sys.modules["ademxapp.backend"] = ademxapp.backend = Backend("ademxapp.backend")


class NeedsMxnet(pytest.Module):
    """A file of tests that are of MXNet, where it is not installed."""

    def collect(self):
        raise pytest.skip.Exception(WITHOUT, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Skip the files that import MXNet where it is not installed."""
    if importlib.util.find_spec("mxnet") is None and NEEDS_MXNET.search(module_path.read_text(encoding="utf-8")):
        return NeedsMxnet.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items):
    """Skip the tests `OF_MXNET` where it is not installed."""
    if importlib.util.find_spec("mxnet") is None:
        for item in items:
            if getattr(item, "originalname", None) in OF_MXNET:
                item.add_marker(pytest.mark.skip(reason=WITHOUT))


@pytest.fixture(scope="session")
def data_root():
    """Folder of real images, one sub-folder per dataset."""
    folder = os.environ.get("ADEMXAPP_DATA")
    if not folder or not os.path.isdir(folder):
        pytest.skip(f"ADEMXAPP_DATA is {folder or 'not set'}: a folder of real images is needed")
    return Path(folder)


def pytest_sessionstart(session):
    """Let Matplotlib index the fonts, once on a machine: it says so, among the messages that tests compare."""
    importlib.import_module("matplotlib.font_manager")
