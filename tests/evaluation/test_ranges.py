"""The file of INT8's ranges: what fits, and what does not, in words."""
import json

import pytest

from ademxapp.files import write_json
from ademxapp.network import kept_ranges

ORIGIN = {"ademxapp": "0.1", "weights_sha256": "ab", "arguments": {"test_scales": [48], "test_flipping": False}}
RANGES = {"data": (-2.5, 2.0), "relu_output": (0.0, 5.0), "dead": (0.0, 0.0)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x_int8.json"
    write_json(str(path), {"origin": {**ORIGIN, "images": ["a.png"]}, "ranges": RANGES})
    return path


def test_they_are_read_as_they_were_kept(path):
    assert kept_ranges(str(path), ORIGIN, RANGES) == (RANGES, "")
    assert kept_ranges(str(path), {**ORIGIN, "weights_sha256": None}, {"data"}) == ({"data": (-2.5, 2.0)}, "")


@pytest.mark.parametrize("arguments, names", [
    ({"test_scales": [48]}, None),
    ({"test_scales": [48], "test_flipping": False, "window": None, "test_steps": 1, "test_10crops": None}, None),
    ({"test_scales": [48], "test_flipping": True}, "test_flipping"),
    ({"test_scales": [56], "test_steps": 2}, "test_scales, test_steps"),
])
def test_flags_that_are_not_given_say_nothing(path, arguments, names):
    ranges, why = kept_ranges(str(path), {**ORIGIN, "arguments": arguments}, RANGES)
    assert (ranges, why) == ((RANGES, "") if names is None else (None, f"it is of another arguments ({names})"))


@pytest.mark.parametrize("damage", [
    "", "[]", "{}", "[" * 100_000, '{"origin": {}}', '{"origin": 3, "ranges": {}}',
    {"data": "12"}, {"data": [0, "1"]}, {"data": [1, 2]}, {"data": [-2, -1]}, {"data": [0, 1e39]},
    {"data": [0, 10 ** 400]},
    {"data": [0, float("nan")]}, {"data": [float("-inf"), 0]}, {"data": [0, 0], "relu_output": [0, 0]}, {"data": None},
])
def test_damaged_files_cannot_be_used(path, damage):
    if isinstance(damage, dict):
        kept = json.loads(path.read_text())
        damage = json.dumps({**kept, "ranges": {**kept["ranges"], **damage}})
    path.write_text(damage)
    assert kept_ranges(str(path), ORIGIN, RANGES) == (None, "it cannot be used")


def test_where_there_is_none(tmp_path):
    assert kept_ranges(str(tmp_path / "x.json"), ORIGIN, RANGES) == (None, "there is no such file")
