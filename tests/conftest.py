"""What all tests share."""
import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "tests" / "helpers"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


NEEDS_MXNET = re.compile(r"^(?:from ademxapp\.backend import|from ademxapp\.engine\.mxnet|import mxnet)", re.MULTILINE)


class NeedsMxnet(pytest.Module):
    """A file of tests that are of MXNet, where it is not installed."""

    def collect(self):
        raise pytest.skip.Exception("needs MXNet, which is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Skip the files that import MXNet where it is not installed."""
    if importlib.util.find_spec("mxnet") is None and NEEDS_MXNET.search(module_path.read_text(encoding="utf-8")):
        return NeedsMxnet.from_parent(parent, path=module_path)
    return None


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
