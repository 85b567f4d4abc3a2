"""What all tests share."""
import importlib
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
for folder in (ROOT, ROOT / "tests" / "helpers"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


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
