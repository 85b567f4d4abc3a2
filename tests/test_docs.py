"""The figures in the pages are those of the files that the runs wrote."""
import json
import re
from argparse import Namespace
from pathlib import Path

import yaml

from ademxapp.inspection.costs import costs, default_setting, read_label
from ademxapp.inspection.memory import MIB
from ademxapp.paper import read_table
from tools.reproducing.miniature_tables import as_table, classifiers, segmenters

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"


def result(pattern):
    """The one result of the first run whose file matches."""
    path, = (RESULTS / "first-run").glob(pattern)
    return json.loads(path.read_text())


def test_first_run_figures():
    classification, segmentation = result("imagenette128_*.json"), result("camvid_*.json")
    figures = {f"top-1 {100 - classification['top1_error']:.2f} %", f"mean IoU {segmentation['mean_iou']:.2f} %"}
    readme, page = (ROOT / "README.md").read_text(), (RESULTS / "first-run.md").read_text()
    for figure in figures:
        assert figure in readme
        assert figure.split()[-2] in page


def test_the_first_runs_recipe_expects_what_came_out():
    stages = {stage["makes"].split("/")[-2]: stage["expect"] for stage in yaml.safe_load(
        (ROOT / "recipes" / "first-run.yaml").read_text())["stages"] if "expect" in stage}
    assert len(stages) == 2
    for name, expected in stages.items():
        found = json.loads((RESULTS / "first-run" / f"{name}.json").read_text())
        assert expected == {key: round(found[key], 2) for key in expected}


def test_the_earlier_first_runs_figures():
    notes = (RESULTS / "first-run.md").read_text()
    files = (RESULTS / "first-run" / "earlier").iterdir()
    found = {path.name.split("_")[0]: json.loads(path.read_text()) for path in files}
    assert f"had {100 - found['imagenette128']['top1_error']:.2f} % top-1" in notes
    iou = found["camvid"]["class_iou"]
    assert iou[2] == 0 and f"{iou[6]:.0f} % of signs" in notes
    assert f"mean IoU of {found['camvid']['mean_iou']:.2f} % at one scale, with nothing of poles" in notes


def test_testing_figure():
    path, = (RESULTS / "testing").glob("*_crf.json")
    assert f"mean IoU {json.loads(path.read_text())['mean_iou']:.2f} %" in (ROOT / "README.md").read_text()


MINIATURE = Namespace(recipe=str(ROOT / "recipes" / "miniature.yaml"),
                      results=str(RESULTS / "miniature" / "rows.json"))


def test_miniature_figures():
    first = {network.name: network for network in classifiers(MINIATURE)}
    second = {network.name: network for network in segmenters(MINIATURE) if network.head == "1conv"}
    correct = [f"{100 - first[name].mean('top1_error'):.2f}" for name in ("rna-b", "rn-101")]
    ious = [f"{second[name].mean('mean_iou'):.2f}" for name in ("rna-b1", "rn-101")]
    assert f"top-1 {' and '.join(correct)} %, mean IoU {' and '.join(ious)} %" in (ROOT / "README.md").read_text()


def test_the_miniatures_page_has_the_kept_rows():
    page = (RESULTS / "miniature.md").read_text()
    assert as_table(classifiers(MINIATURE), True) in page and as_table(segmenters(MINIATURE), True) in page


def test_speed_figures():
    ratio = {item["what"]: item["ratio"] for name in ("dtypes", "reading")
             for item in json.loads((RESULTS / "speed" / f"{name}.json").read_text())["found"]}
    int8, = (value for name, value in ratio.items() if "int8" in name)
    reading, = (value for name, value in ratio.items() if "reading for classification" in name)
    assert f"{int8:.2f} times, {reading:.2f} times as fast" in (ROOT / "README.md").read_text()


def test_no_page_has_the_place_of_a_machine():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.json"),
                 *(ROOT / "recipes").rglob("*.yaml")]:
        assert not re.search(r'[" (=]/(work|home|root|tmp|usr|mnt)/', path.read_text()), path


def test_memory_figure():
    kept = json.loads((RESULTS / "tables" / "memory.json").read_text())["values"]
    ratios = [kept[f"{row.network} {row.head}"] / row.paper["memory"] for row in read_table("table2").rows
              if "memory" in row.paper]
    mean = sum(ratios) / len(ratios)
    farthest = max(abs(ratio / mean - 1) for ratio in ratios)
    assert f"within {100 * farthest:.1f} %" in (ROOT / "README.md").read_text()


def test_recomputation_figures():
    label = read_label("voc_rna-a1_cls21_s8")
    found = costs(label, default_setting(label, None, None, None, "1conv", "softmax"))
    figures = f"{found.recomputed_bytes // MIB:,} instead of {found.training_bytes // MIB:,} MiB"
    assert figures in (ROOT / "README.md").read_text()


def test_demo_figures():
    summary = (RESULTS / "demo" / "summary.txt").read_text()
    block = "\n".join("    " + line if line else "" for line in summary.split("\n\npictures")[0].splitlines())
    readme = (ROOT / "README.md").read_text()
    other = re.search(r"mean IoU +([\d.]+) %", (RESULTS / "demo" / "summary-seed1.txt").read_text())[1]
    assert block in readme and f"mean IoU is {other} %" in readme


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page}: {link}"
