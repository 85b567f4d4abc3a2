"""What the drivers log on this process's engine, beside what MXNet logged: tests/golden/make_driver_losses.py."""
import json

import numpy as np
import pytest
from conftest import ROOT
from driver_losses import RUNS, losses

# Of how many reports the losses are equal: with trained statistics, only at first. There a rounding error grows, as the
# batch's statistics divide by what is nearly 0 in this narrow network: MXNet's own losses of two runs whose weights
# differ by 1e-7 are 1e-4 apart in the fifth report and 1e-2 in the sixth, as those of the two engines are; with two
# threads in place of one they are 1.5e-3 apart in the fourth.
EQUAL = {"segmentation": 8, "classification": 3}


@pytest.mark.parametrize("task", RUNS)
def test_a_drivers_first_epoch_has_mxnets_losses(task, tmp_path):
    """Dropout is off: what an engine drops is its own. Images, crops, initial weights, steps are as in any training."""
    wanted = json.loads((ROOT / "tests" / "golden" / "driver_losses.json").read_text())[task]
    found = losses(task, tmp_path)
    assert len(found) == len(wanted) == 8 and np.isfinite(found).all()
    np.testing.assert_allclose(found[:EQUAL[task]], wanted[:EQUAL[task]], rtol=1e-3)
