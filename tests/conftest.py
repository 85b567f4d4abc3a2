"""What all tests share."""
import importlib
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def data_root():
    """Folder of real images, one sub-folder per dataset."""
    if not os.environ.get("ADEMXAPP_DATA"):
        pytest.skip("ADEMXAPP_DATA is not set: real images are needed")
    return Path(os.environ["ADEMXAPP_DATA"])


def pytest_sessionstart(session):
    """Let Matplotlib index the fonts, once on a machine: it says so, among the messages that tests compare."""
    importlib.import_module("matplotlib.font_manager")
