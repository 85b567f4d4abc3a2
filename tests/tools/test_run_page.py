"""`tools/report.py run`: the page of a test."""
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from ademxapp.cli import UsageError
from ademxapp.data.images import write_png
from ademxapp.data.lists import Sample, write_classification_list, write_segmentation_list
from ademxapp.evaluation.pictures import class_colours
from iclass.classifier import write_predictions
from issegm.datasets import DATASETS, read_pair
from issegm.scoring import Scores
from tools import report
from tools.reporting import run as run_page

CAMVID, NAME = DATASETS["camvid"], "camvid_rna-a1_cls11_s8"
RNG = np.random.default_rng(0)


class Page(HTMLParser):
    """The page's data, and all that it would load."""

    def __init__(self, path):
        super().__init__()
        text = path.read_text()
        self.loaded, self.tags = [], []
        self.feed(text)
        self.data = json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)[1])

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]


def segmentation_test(root, right=(0.9, 0.2, 0.6, 0.9), labels=True):
    """The folder of a test of four images, of which a share of the pixels is right; and their samples."""
    folder, samples = root / f"{NAME}_ep-0001", []
    for number in range(len(right)):
        sample = Sample(str(root), f"images/<{number}>.png", label_image=f"labels/{number}.png" if labels else None)
        write_png(sample.image_path, RNG.integers(0, 256, (40, 60, 3)).astype(np.uint8))
        if labels:
            write_png(sample.label_path, RNG.choice([0, 1, 2, number + 3, 11], (40, 60)).astype(np.uint8))
        samples.append(sample)
    scores = Scores(CAMVID)
    for sample, share in zip(samples, right):
        truth = read_pair(sample, CAMVID)[1] if labels else np.zeros((40, 60), np.uint8)
        predicted = np.where((RNG.random(truth.shape) < share) & (truth < 11), truth, 9).astype(np.uint8)
        write_png(str(folder / sample.image.rpartition("/")[2]), predicted, CAMVID.palette)
        if labels:
            scores.add(sample, truth, predicted)
    write_segmentation_list(str(root / "val.lst"), samples)
    result = {"label": NAME, "weights": str(root / f"{NAME}_ep-0001.params"), "split": "val", "images": 4,
              "images_per_second": 2.5, "paper": None, "arguments": {
                  "dataset": "camvid", "data_root": str(root), "list": str(root / "val.lst"), "split": "val",
                  "test_scales": [60, 90], "test_flipping": True, "test_steps": 1, "tag": None}}
    (folder / "result.json").write_text(json.dumps({**result, **(scores.result() if labels else {})}))
    return folder, samples, scores.result()


def test_the_page_has_the_scores_and_loads_nothing_from_elsewhere(tmp_path, capsys):
    folder, samples, scores = segmentation_test(tmp_path)
    write_png(str(tmp_path / f"{NAME}.png"), np.zeros((5, 9, 3), np.uint8))
    report.main(["run", str(folder)])
    page = Page(folder / "page" / "index.html")
    assert page.loaded == [] and "link" not in page.tags and "iframe" not in page.tags
    assert "http" not in (folder / "page" / "index.html").read_text()
    assert dict(page.data["scores"])["mean IoU"] == scores["mean_iou"]
    assert ["test scales", "60, 90"] in page.data["facts"] and ["test flipping", "yes"] in page.data["facts"]
    columns = [column["name"] for column in page.data["classes"]["columns"]]
    assert columns == ["class", "IoU", "accuracy", "share of the pixels"]
    for row, name, iou in zip(page.data["classes"]["rows"], CAMVID.class_names, scores["class_iou"]):
        assert row["cells"][:2] == [name, iou] and row["colour"].startswith("rgb(")
    counts = np.zeros((11, 11), int)
    for truth, predicted, number in page.data["confusion"]:
        counts[truth, predicted] = number
    assert counts.tolist() == scores["confusion"]
    assert Image.open(folder / "page" / page.data["curves"]).size == (9, 5)
    assert "4 images, 4 of them shown" in capsys.readouterr().out


def test_the_gallery_has_the_pictures_and_scores_of_every_image(tmp_path):
    folder, samples, _ = segmentation_test(tmp_path)
    report.main(["run", str(folder)])
    images = Page(folder / "page" / "index.html").data["images"]
    assert [image["name"] for image in images] == [sample.image for sample in samples]
    order = np.argsort([image["score"] for image in images])
    assert order[0] == 1 and order[1] == 2
    for sample, image in zip(samples, images):
        photograph, truth = read_pair(sample, CAMVID)
        predicted = np.asarray(Image.open(folder / sample.image.rpartition("/")[2]))
        counted = truth < 11
        assert image["score"] == pytest.approx(100 * (truth == predicted)[counted].mean())
        assert image["classes"] == sorted(set(truth[counted]) | set(predicted[counted]))
        nine = (truth[counted] == 9) & (predicted[counted] == 9), (truth[counted] == 9) | (predicted[counted] == 9)
        assert image["of"]["9"] == pytest.approx(100 * nine[0].sum() / nine[1].sum(), abs=0.01)
        drawn = [np.asarray(Image.open(folder / "page" / name).convert("RGB")) for name in image["files"]]
        colours = class_colours(CAMVID.palette, CAMVID.label_ids)
        assert drawn[0].shape == photograph.shape
        assert np.array_equal(drawn[1], colours[truth]) and np.array_equal(drawn[2], colours[predicted])
        wanted = np.where(counted, np.where(truth == predicted, 127, 0), 255)
        assert np.array_equal(drawn[3][..., 0], wanted)


def test_the_worst_images_are_chosen_and_names_of_any_kind_do_no_harm(tmp_path):
    folder, _, _ = segmentation_test(tmp_path)
    report.main(["run", str(folder), "--images", "2", "--out", str(tmp_path / "out"), "--height", "20"])
    page = Page(tmp_path / "out" / "index.html")
    assert [image["name"] for image in page.data["images"]] == ["images/<1>.png", "images/<2>.png"]
    assert page.data["note"].startswith("The worst 2 of 4 images.")
    assert page.tags.count("script") == 2  # what looks like a tag in a name is none
    assert len(list((tmp_path / "out").glob("*.png"))) == 6 and len(list((tmp_path / "out").glob("*.jpg"))) == 2
    assert Image.open(tmp_path / "out" / "00001-truth.png").size == (30, 20)


def test_a_test_without_truths_shows_what_was_predicted(tmp_path):
    folder, _, _ = segmentation_test(tmp_path, labels=False)
    report.main(["run", str(folder)])
    data = Page(folder / "page" / "index.html").data
    assert data["classes"]["rows"] == data["confusion"] == data["scores"] == [] and data["curves"] is None
    assert data["images"][0]["files"] == ["00000-image.jpg", "00000-prediction.png"]  # the gallery has their names
    assert [len(image["files"]) for image in data["images"]] == [2] * 4 and data["images"][0]["score"] is None


def test_categories_and_instances_have_their_places():
    from tools.reporting import run as run_page
    assert run_page.categories({"category_iou": {"flat": 90.0, "human": None},
                                "category_iiou": {"flat": None, "human": 12.5}}) == [
        ["category", "IoU", "iIoU"], ["flat", 90.0, None], ["human", None, 12.5]]
    record = DATASETS["cityscapes"]
    table = run_page.class_table({"class_iou": [1.0] * 19, "class_acc": [2.0] * 19, "class_iiou": [None] * 19}, record,
                                 np.eye(19))
    assert table["rows"][3]["cells"] == ["wall", 1.0, 2.0, None, pytest.approx(100 / 19)]


def test_missing_label_images_are_named(tmp_path):
    folder, _, _ = segmentation_test(tmp_path)
    (folder / "<2>.png").unlink()
    with pytest.raises(ValueError, match=r"there is no .*<2>\.png: 1 of 4 label images are missing"):
        report.main(["run", str(folder)])
    for path in folder.glob("*.png"):
        path.unlink()
    report.main(["run", str(folder)])  # tested with --no-save-results
    assert Page(folder / "page" / "index.html").data["images"] == []


def test_the_page_of_a_classification_test(tmp_path):
    samples, probs = [], []
    for number, truth in enumerate((0, 0, 2, 4)):
        sample = Sample(str(tmp_path), f"{number}.png", truth)
        write_png(sample.image_path, RNG.integers(0, 256, (30, 20, 3)).astype(np.uint8))
        samples.append(sample)
        probs.append(np.roll([0.4, 0.3, 0.1, 0.1, 0.06, 0.04], (0, 1, 2, 5)[number]))
    folder = tmp_path / "mine_rna-a1_cls6_ep-0001"
    write_classification_list(str(tmp_path / "val.lst"), samples)
    write_predictions(str(folder / "predictions.tsv"), samples, np.array(probs))
    (folder / "result.json").write_text(json.dumps({
        "label": "mine_rna-a1_cls6", "split": "val", "top1_error": 50.0, "top5_error": 25.0, "arguments": {
            "dataset": "mine", "data_root": str(tmp_path), "list": str(tmp_path / "val.lst"), "split": "val",
            "test_3crops": False}}))
    report.main(["run", str(folder)])
    data = Page(folder / "page" / "index.html").data
    assert dict(data["scores"]) == {"top-1 error": 50, "top-5 error": 25}
    rows = {row["cells"][0]: row["cells"][1:] for row in data["classes"]["rows"]}
    assert rows["0"] == [50, 50, 2] and rows["2"] == [0, 0, 1] and rows["4"] == [100, 100, 1]
    assert rows["1"] == [None, None, 0]
    assert sorted(data["confusion"]) == [[0, 0, 1], [0, 1, 1], [2, 2, 1], [4, 5, 1]]
    assert [image["score"] for image in data["images"]] == pytest.approx([40, 4, 40, 4])
    assert data["images"][1]["lines"][:2] == ["0: 4.0 %", "1. 1 40.0 %"] and data["images"][1]["classes"] == [0, 1]
    assert Image.open(folder / "page" / data["images"][0]["files"][0]).size == (20, 30)
    with pytest.raises(UsageError, match="is of a classification test"):
        report.main(["sheet", str(folder), "--out", str(tmp_path / "sheet.png")])


def test_label_images_that_were_scored_without_a_network_and_averages_of_networks_have_pages(tmp_path):
    folder, _, _ = segmentation_test(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    for label, weights, told in ((None, None, None), (NAME, ["a.params", "b.params"], "a.params, b.params")):
        (folder / "result.json").write_text(json.dumps({**result, "label": label, "weights": weights}))
        report.main(["run", str(folder)])
        data = Page(folder / "page" / "index.html").data
        assert data["title"] == (label or "camvid val") and dict(data["facts"]).get("weights") == told


def test_a_name_that_starts_a_comment_and_a_script_does_not_end_the_data(tmp_path):
    """HTML reads a script element on to the end where `<!--` and `<script` stand in it."""
    name = "<!--<script>"
    data = {"title": name, "names": [name, "</script>"]}
    path = run_page.write_page(str(tmp_path), data)
    text = (tmp_path / "index.html").read_text()
    assert path == str(tmp_path / "index.html") and Page(tmp_path / "index.html").data == data
    assert text.count("<!--") == 0 and text.count("<script") == text.count("</script>") == 2


def test_a_test_that_ran_in_another_folder_is_told(tmp_path, monkeypatch):
    folder, *_ = segmentation_test(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    result["arguments"]["list"] = "val.lst"
    (folder / "result.json").write_text(json.dumps(result))
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match="there is no list val.lst. A test's paths start where it was run: run this "
                       "there") as caught:
        report.main(["run", str(folder)])
    assert "--list" not in str(caught.value)
    monkeypatch.chdir(tmp_path)
    report.main(["run", str(folder)])


REPORT = {"lr": 0.01, "loss": 1.5, "accuracy": 0.5, "kept": 0.3, "images_per_s": 12.5, "seconds_left": 65}


def test_the_page_of_a_training_that_runs(tmp_path, capsys):
    # The next report is being written.
    reports = [{**REPORT, "epoch": 1, "batch": 3, "loss": 2.0}, {**REPORT, "epoch": 1, "batch": 6}]
    path = tmp_path / f"{NAME}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in reports) + '{"epoch": 1, "ba')
    for place in (str(tmp_path), str(path)):
        report.main(["run", place])
        assert "the training so far" in capsys.readouterr().out
    page = Page(tmp_path / f"{NAME}_page" / "index.html").data
    assert page["title"] == NAME and page["scores"] == [] and page["classes"]["rows"] == []
    assert page["facts"] == [["last report", "epoch 1, batch 6"], ["time left", "0:01:05"], ["loss", "1.5"],
                             ["accuracy", "0.5"], ["learning rate", "0.01"], ["images per second", "12.5"]]
    before = Image.open(tmp_path / f"{NAME}_page" / page["curves"]).size
    (tmp_path / f"{NAME}_val.jsonl").write_text('{"epoch": 1, "mean_iou": 41.5, "pixel_acc": 80.0, "seconds": 2}\n')
    path.write_text(json.dumps({**REPORT, "epoch": 1, "batch": 24, "seconds_left": 0}) + "\n")
    report.main(["run", str(tmp_path)])
    page = Page(tmp_path / f"{NAME}_page" / "index.html").data
    assert page["scores"] == [["mean iou", 41.5], ["pixel acc", 80.0]] and page["heading"] == "Validations"
    assert page["classes"]["rows"] == [{"cells": ["after epoch 1", 41.5, 80.0]}]
    assert dict(page["facts"])["time left"] == "none: it has ended"
    assert Image.open(tmp_path / f"{NAME}_page" / page["curves"]).size > before  # one panel more


def test_trainings_without_a_report_and_folders_with_several(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(UsageError, match="there is no report in .*a.jsonl yet"):
        report.main(["run", str(tmp_path)])
    (tmp_path / "b.jsonl").write_text("")
    with pytest.raises(UsageError, match="has 2 trainings: name one, a.jsonl, b.jsonl"):
        report.main(["run", str(tmp_path)])


def test_a_folder_without_a_result_is_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="wanted the folder of a test that has ended"):
        report.main(["run", str(tmp_path)])
