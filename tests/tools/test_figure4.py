"""The command `report.py paths`, which measures Figure 4: records that are kept, its page, and what it says of them."""
import json

import pytest
from worlds import write_data

from ademxapp.cli import UsageError
from ademxapp.inspection.paths import read_off
from ademxapp.symbol import classification_symbol
from ademxapp.weights.parameters import parameter_shapes, save_parameters, start_afresh
from tools import report
from tools.reporting import paths
from tools.reproducing import pages

LABEL = "tiny_rna-b1-w0.02_cls2"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with images of the dataset `tiny` and weights that were trained at 40 pixels; the current one."""
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    shapes = parameter_shapes(classification_symbol(LABEL), data=(1, 3, 40, 40))
    save_parameters(f"out/{LABEL}_ep-0002.params", start_afresh(shapes, 3))
    state = tmp_path / "out" / f"{LABEL}_snapshot" / "0002-000000" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"arguments": {"crop_size": 40, "to_epoch": 5}}))
    return tmp_path


def figure(*more, weights=f"out/{LABEL}_ep-0002.params"):
    report.main(["paths", "--weights", weights, "--data", "data", "--paths", "2", "--batch-images", "2",
                 "--output", "records", *more])


def test_what_was_measured_is_written_and_what_is_missing_named(folder, capsys, monkeypatch):
    figure("--untrained", LABEL, "--out", "pages/figure4.json",
           weights=f"{folder}/out/{LABEL}_ep-0002.params,gone_rn-50_cls2_ep-0001.params")
    said = capsys.readouterr().out
    assert "needs gone_rn-50_cls2_ep-0001.params: there is no such file" in said
    found = json.loads((folder / "pages/figure4.json").read_text())
    assert found["needs"] == ["gone_rn-50_cls2_ep-0001.params"] and str(folder) not in json.dumps(found)
    trained, untrained = found["networks"]
    assert (trained["crop"], trained["statistics"], untrained["crop"], untrained["statistics"]) == (
        40, "moving", 40, "batch")
    assert trained["lengths"] == list(range(9)) and [len(row) for row in trained["norms"]] == [2] * 9
    assert trained["images_sha256"] == untrained["images_sha256"]
    monkeypatch.setattr(pages, "FIGURE4", "pages/figure4.json")
    table = pages.figure4()
    assert f"| {trained['network']} | tiny | trained, 2 of 5 epochs | – | 8 |" in table
    assert "| tiny | untrained | – | 8 |" in table
    pages.FIGURES["figure4"]("pages/figure4.png")
    assert (folder / "pages/figure4.png").read_bytes()[:4] == b"\x89PNG"


def test_what_was_measured_is_kept_until_it_is_another_question(folder, monkeypatch):
    figure()
    measured = []
    monkeypatch.setattr(paths, "measure", lambda *args: measured.append(args) or [[1.0, 1.0]] * 9)
    figure()
    assert not measured
    figure("--seed", "1")
    assert len(measured) == 1
    shapes = parameter_shapes(classification_symbol(LABEL), data=(1, 3, 40, 40))
    save_parameters(f"out/{LABEL}_ep-0002.params", start_afresh(shapes, 4))
    figure("--seed", "1")
    assert len(measured) == 2


def test_wrong_use_is_told(folder):
    with pytest.raises(UsageError, match="no network is named"):
        report.main(["paths", "--data", "data"])
    with pytest.raises(UsageError, match="--out x.md: wanted a JSON file"):
        report.main(["paths", "--data", "data", "--untrained", LABEL, "--out", "x.md"])
    with pytest.raises(UsageError, match="is for segmentation"):
        report.main(["paths", "--data", "data", "--untrained", "demo_rna-b1-w0.02_cls6_s8"])
    with pytest.raises(ValueError, match="there is no file gone_rn-50_cls2"):
        figure(weights="gone_rn-50_cls2_ep-0001.params")
    with pytest.raises(ValueError, match="has 4 images in val, wanted 2 x 3 = 6"):
        figure("--batch-images", "3")
    with pytest.raises(ValueError, match="no residual units"):
        report.main(["paths", "--data", "data", "--untrained", "tiny_vgg-16-w0.02_cls2", "--crop-size", "32",
                        "--paths", "2", "--batch-images", "2"])


def test_what_is_read_off_the_norms():
    found = read_off([[0.5 ** k] * 2 for k in range(9)], range(9), 8)  # every mapping halves the norm
    assert found["factor_per_mapping"] == pytest.approx(0.5)
    assert found["longest_over_shortest"] == pytest.approx(0.5 ** 8)
    assert found["long_over_short"] == pytest.approx(0.5 ** 6)  # lengths 6, 7, 8 against 0, 1, 2
    assert sum(found["expected_contributions"]) == pytest.approx(1)
    assert found["covered_lengths"] == [0, 5]  # of the binomial distribution with 8 trials of chance 1/3
    nothing = read_off([[1.0, 1.0]] * 4 + [[0.0, 0.0]], range(5), 4)
    assert nothing["longest_over_shortest"] == 0 and nothing["expected_contributions"][4] < 1e-200
