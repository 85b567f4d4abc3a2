"""A run and a test own their files: what is refused, what goes on, what is removed; what makes two of them the same."""
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from recorded import CLS, SEG, make_world, run

from ademxapp.cli import UsageError
from ademxapp.data.lists import Sample, read_classification_list, read_segmentation_list
from ademxapp.driver import identity
from ademxapp.evaluation import dense
from ademxapp.files import replacing
from ademxapp.training.snapshots import remove_run, weights_of_run
from tools import report, submit

TRAIN = f"--model {CLS} --crop-size 32 --batch-images 4 --cpus 1"
VAL = f"--phase val --weights weights/{SEG}_ep-0004.params --split val --cpus 1 --output output"
TESTED = Path("output", f"{SEG}_ep-0004")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data, weights, and in output/ a training of two epochs with validations."""
    folder, before = tmp_path_factory.mktemp("ownership"), os.getcwd()
    os.chdir(folder)
    make_world()
    run("ilsvrc", f"{TRAIN} --to-epoch 2 --val-every 1 --output output")
    os.chdir(before)
    return folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")


def contents(folder="output"):
    """{path: bytes} of all files but logs and locks."""
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*")
            if path.is_file() and path.suffix not in (".log", ".lock") and path.name != ".lock"}


def rows(name):
    return [json.loads(line) for line in Path("output", f"{CLS}{name}.jsonl").read_text().splitlines()]


# A run


@pytest.mark.parametrize("more", ["", " --base-lr 0.2", f" --weights weights/{CLS}_ep-0003.params --from-epoch 0"])
def test_a_new_run_where_one_is_is_refused_and_nothing_is_lost(world, more):
    before = contents()
    with pytest.raises(UsageError, match="there is a run .* already .*--resume goes on with it, --overwrite removes"):
        run("ilsvrc", f"{TRAIN} --to-epoch 2 --output output{more}")
    assert contents() == before


def test_overwrite_removes_the_old_run_and_leaves_others_alone(world):
    others = [f"output/{name}" for name in (f"{CLS}_x_ep-0007.params", f"{CLS}_ep-0002", f"{CLS}x.jsonl",
                                            ".part-1-other.png")]
    for path in others:
        Path(path).write_text("not of this run")
    Path(f"output/.part-00-{CLS}_ep-0002.params").write_text("of a process that was killed")
    run("ilsvrc", f"{TRAIN} --to-epoch 1 --output output --overwrite --base-lr 0.2")
    assert [row["epoch"] for row in rows("")] == [1, 1]
    found = {path.name for path in Path("output").glob(f"*{CLS}*")}
    assert found == {f"{CLS}{end}" for end in (
        ".jsonl", ".png", ".log", "_ep-0001.params", "_ep-0001.json", "_ep-symbol.json", "_snapshot",
        "_x_ep-0007.params", "_ep-0002", "x.jsonl")}  # no validation of the old run, and none of its checkpoints
    assert all(Path(path).read_text() == "not of this run" for path in others)
    assert os.listdir(f"output/{CLS}_snapshot") != [] and not Path(f"output/{CLS}_snapshot/0002-000000").exists()


def test_overwrite_never_removes_what_it_starts_from(world):
    before = contents()
    with pytest.raises(UsageError, match="--overwrite would remove .*_ep-0001.params, which this run is to start from"):
        run("ilsvrc", f"{TRAIN} --to-epoch 3 --output output --overwrite --weights output/{CLS}_ep-0001.params")
    assert contents() == before


def test_one_command_serves_the_start_and_every_further_start(world):
    command = f"{TRAIN} --to-epoch 3 --output fresh --resume"
    run("ilsvrc", f"{command} --stop-epoch 1")
    run("ilsvrc", command)
    assert [json.loads(line)["epoch"] for line in Path(f"fresh/{CLS}.jsonl").read_text().splitlines()] == [
        1, 1, 2, 2, 3, 3]


def test_resume_without_a_snapshot_but_with_checkpoints_is_refused(world):
    shutil.rmtree(f"output/{CLS}_snapshot")
    with pytest.raises(UsageError, match="there is no snapshot to go on from, --overwrite removes it"):
        run("ilsvrc", f"{TRAIN} --to-epoch 3 --output output --resume")


@pytest.mark.parametrize("more", [
    "--test-scales 40 --test-flipping --test-3crops", "--backward-do-mirror", "--kvstore local", "--tag x",
    "--prefetch-threads 2", "--val-every 3 --val-list data/tiny/val.lst"])
def test_resume_goes_on_with_what_decides_no_training(world, more):
    Path("data/tiny/val.lst").write_text("0\t0\tval/cat/0.png\n1\t1\tval/dog/1.png\n")
    run("ilsvrc", f"{TRAIN} --to-epoch 2 --output other --stop-epoch 1")
    run("ilsvrc", f"{TRAIN} --to-epoch 2 --output other --resume {more}")
    assert Path(f"other/{CLS}_ep-0002.params").read_bytes() == Path(f"output/{CLS}_ep-0002.params").read_bytes()


@pytest.mark.parametrize("more, words", [
    ("--base-lr 0.3", "base_lr was 0.1, now 0.3"), ("--lr-type linear", "lr_type was fixed, now linear"),
    ("--crop-area-range 0.2,1", "crop_area_range"), ("--batch-images 8", "batch_images was 4, now 8"),
    ("--no-choose-interp-method", "no_choose_interp_method"), ("--seed 2", "seed was 0, now 2")])
def test_resume_refuses_what_decides_a_training(world, more, words):
    with pytest.raises(UsageError, match=words):
        run("ilsvrc", f"{TRAIN} --to-epoch 2 --output output --resume {more}")


def test_resume_knows_the_images_of_its_run_however_they_are_named(world):
    lines = Path("data/tiny/some.lst").read_text()
    Path("data/tiny/same.lst").write_text(lines)
    Path("data/tiny/other.lst").write_text(lines.replace("train/cat/0.png", "val/cat/0.png"))
    how = f"{TRAIN} --to-epoch 3 --output listed"
    run("ilsvrc", f"{how} --list data/tiny/some.lst --stop-epoch 1")
    with pytest.raises(ValueError, match="of a run on other images or labels"):
        run("ilsvrc", f"{how} --list data/tiny/other.lst --resume")
    run("ilsvrc", f"{how} --list ./data/tiny/some.lst --resume --stop-epoch 2")
    run("ilsvrc", f"{how} --list data/tiny/same.lst --resume")


def older(path, *names):
    """Take from a record what older programs did not write."""
    record = json.loads(path.read_text())
    for name in ("task", "identity", "samples_sha256", "dataset_sha256", *names):
        record.pop(name, None)
    path.write_text(json.dumps(record))


def test_a_snapshot_of_an_older_program_is_gone_on_with(world):
    how = f"{TRAIN} --to-epoch 3 --output older"
    run("ilsvrc", f"{how} --list data/tiny/some.lst --stop-epoch 1")
    older(Path(f"older/{CLS}_snapshot/0001-000000/state.json"))
    shutil.copy("data/tiny/some.lst", "data/tiny/same.lst")
    with pytest.raises(UsageError, match="list was data/tiny/some.lst, now data/tiny/same.lst"):
        run("ilsvrc", f"{how} --list data/tiny/same.lst --resume")
    run("ilsvrc", f"{how} --list ./data/tiny/some.lst --resume")


def test_curves_forget_the_validations_of_epochs_that_are_trained_again(world):
    assert [row["epoch"] for row in rows("_val")] == [1, 2]
    shutil.rmtree(f"output/{CLS}_snapshot/0002-000000")
    run("ilsvrc", f"{TRAIN} --to-epoch 2 --output output --resume")
    assert [row["epoch"] for row in rows("_val")] == [1]


def test_snapshots_have_the_permissions_of_the_umask_and_one_that_cannot_be_read_is_no_missing_one(world, monkeypatch):
    newest = Path(f"output/{CLS}_snapshot/0002-000000")
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(newest.stat().st_mode) == 0o777 & ~mask
    read = open

    def locked(path, *how, **more):
        if str(path).endswith("0002-000000/state.json"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *how, **more)

    monkeypatch.setattr("builtins.open", locked)
    with pytest.raises(PermissionError, match="0002-000000/state.json"):
        run("ilsvrc", f"{TRAIN} --to-epoch 3 --output output --resume")


def test_snapshots_all_of_which_are_damaged_are_told_with_the_way_on(world):
    for path in Path(f"output/{CLS}_snapshot").glob("*/parameters.params"):
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match="no whole snapshot in .*: bring one back, or start anew with --overwrite"):
        run("ilsvrc", f"{TRAIN} --to-epoch 3 --output output --resume")


def test_files_of_a_run_are_told_by_their_whole_names(tmp_path):
    for name in ("a.jsonl", "a_b.jsonl", "a_ep-0001.params", "a_ep-0001_int8.json", "a_best.params",
                 "a_b_ep-0001.params"):
        (tmp_path / name).touch()
    assert weights_of_run(str(tmp_path / "a")) == [str(tmp_path / "a_best.params"), str(tmp_path / "a_ep-0001.params")]
    assert list(map(os.path.basename, weights_of_run(f"{tmp_path}//a"))) == ["a_best.params", "a_ep-0001.params"]
    (tmp_path / "a_snapshot").mkdir()
    remove_run(f"{tmp_path}//a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_b.jsonl", "a_b_ep-0001.params", "a_snapshot"]


def test_the_part_of_a_file_says_of_what(tmp_path):
    for name in ("a.json", "ä" * 120 + ".png"):
        with replacing(str(tmp_path / name)) as temporary:
            Path(temporary).write_text("x")
            assert os.path.basename(temporary).startswith(".part-") and temporary.endswith(os.path.splitext(name)[1])
        assert (tmp_path / name).exists()


# A test


def result(folder=TESTED):
    return json.loads(Path(folder, "result.json").read_text())


def test_score_maps_of_another_test_go_with_it(world):
    run("voc", f"{VAL} --test-scales 48,36 --save-predictions")
    run("voc", f"{VAL} --test-scales 48 --save-predictions --overwrite")
    assert not list(TESTED.glob("scores/scale-*"))
    wanted = result()["mean_iou"]
    run("msctest", f"--predictions {TESTED} --output output --tag again")
    assert result(f"{TESTED}_msc_again")["mean_iou"] == pytest.approx(wanted, abs=0.5)


def test_label_images_of_another_test_go_with_it(world):
    run("voc", f"{VAL} --test-scales 48")
    Path(TESTED, "page").mkdir()
    run("voc", f"{VAL} --test-scales 36 --overwrite --no-save-results")
    assert [path.name for path in TESTED.iterdir()] == ["result.json"]


def test_a_stray_score_map_of_another_test_is_refused(world):
    run("voc", f"{VAL} --test-scales 48 --save-predictions")
    run("voc", f"{VAL} --test-scales 36 --save-predictions --tag small")
    shutil.copy(f"{TESTED}_small/scores/images/val1.h5", f"{TESTED}/scores/images/val1.h5")
    with pytest.raises(ValueError, match="val1.h5 is of another test than .* holds: test again with"):
        run("msctest", f"--predictions {TESTED} --output output")


def test_left_parts_are_no_score_maps_and_go_with_the_next_test(world):
    run("voc", f"{VAL} --test-scales 48 --save-predictions")
    parts = [Path(TESTED, "scores", "images", ".part-00.h5"), Path(TESTED, ".part-1-val0.png")]
    for part in parts:
        part.write_bytes(b"half")
    run("msctest", f"--predictions {TESTED} --output output")
    run("voc", f"{VAL} --test-scales 48 --save-predictions --skip-done")
    assert not any(map(os.path.exists, parts)) and result()["images_done_before"] == 4


def test_shards_of_one_test_have_its_identity_and_those_of_others_are_refused(world, monkeypatch):
    for part, scales in (("1/2", 48), ("2/2", 48), ("2/2", 36)):
        run("voc", f"{VAL} --test-scales {scales} --shard {part}" + (" --tag other" if scales == 36 else ""))
    one, two, other = f"{TESTED}_shard-1-of-2", f"{TESTED}_shard-2-of-2", f"{TESTED}_other_shard-2-of-2"
    assert result(one)["identity"] == result(two)["identity"] != result(other)["identity"]
    run("msctest", f"--score {one} {two}")
    for call in (lambda: run("msctest", f"--score {one} {other}"), lambda: submit.main([one, other])):
        monkeypatch.setitem(submit.ENTRIES, "demo", submit.ENTRIES["ade20k"])
        with pytest.raises(ValueError, match="are no shards of one test: they differ in .*test_scales"):
            call()


def test_skip_done_goes_by_what_decides_the_labels(world):
    colours = "".join(f"  - [{10 * index}, 0, 0]\n" for index in range(6))
    names = "class_names: [background, ball, crate, house, star, tree]\n"
    Path("demo.yaml").write_text(f"name: demo\n{names}colours:\n{colours}")
    how = f"{VAL} --test-scales 48 --dataset-file demo.yaml --skip-done"
    run("voc", how)
    run("voc", f"{how} --base-lr 3 --crop-size 9 --batch-images 2 --loss softmax --list ./data/demo/val.lst")
    assert result()["images_done_before"] == 4
    Path("demo.yaml").write_text(f"name: demo\n{names}colours:\n{colours}label_ids: [5, 4, 3, 2, 1, 0]\n")
    with pytest.raises(UsageError, match="holds the result of a test with another dataset: give this one a --tag"):
        run("voc", how)
    lines = Path("data/demo/val.lst").read_text().splitlines()
    Path("data/demo/val.lst").write_text("\n".join(lines[1:]))
    Path("demo.yaml").write_text(f"name: demo\n{names}colours:\n{colours}")
    with pytest.raises(UsageError, match="with another samples"):
        run("voc", how)


def test_results_of_an_older_program_are_taken(world):
    run("voc", f"{VAL} --test-scales 48 --save-predictions")
    older(TESTED / "result.json")
    with pytest.raises(UsageError, match="with another test_flipping"):
        run("voc", f"{VAL} --test-scales 48 --test-flipping --skip-done")
    run("voc", f"{VAL} --test-scales 48 --skip-done --save-predictions --base-lr 2")
    assert result()["images_done_before"] == 4 and result()["identity"]


def test_overwrite_does_not_remove_what_the_test_reads(world):
    run("voc", f"{VAL} --test-scales 48")
    shutil.copy(f"weights/{SEG}_ep-0004.params", TESTED)
    with pytest.raises(UsageError, match="--overwrite would remove .*params, which is in the folder of the test"):
        run("voc", f"--phase val --weights {TESTED}/{SEG}_ep-0004.params --split val --cpus 1 --output output "
            "--test-scales 36 --overwrite")


@pytest.mark.skipif(not dense.crf_available(), reason="pydensecrf is not installed")
def test_a_search_is_not_replaced_silently(world):
    run("voc", f"{VAL} --test-scales 48 --save-predictions")
    how = f"--search --predictions {TESTED} --crf-workers 1 --crf-iterations"
    run("msctest", f"{how} 1")
    before = Path(f"{TESTED}_msc/search.json").read_text()
    with pytest.raises(UsageError, match="there is a search already.*--tag, or replace it with --overwrite"):
        run("msctest", f"{how} 2")
    assert Path(f"{TESTED}_msc/search.json").read_text() == before
    run("msctest", f"{how} 2 --overwrite")


@pytest.mark.parametrize("program, weights", [("voc", f"{SEG}_ep-0004"), ("ilsvrc", f"{CLS}_ep-0003")])
def test_scores_of_the_train_split_are_told_loudly(world, program, weights):
    run(program, f"--phase val --weights weights/{weights}.params --cpus 1 --output output --test-scales 48")
    assert "warning: these are scores of the TRAIN split" in Path("output", f"{weights[:-8]}.log").read_text()
    assert result(f"output/{weights}_train")["task"] == {"voc": "segmentation", "ilsvrc": "classification"}[program]


# What reports say of it


def test_reports_of_a_shard(world, capsys):
    run("voc", f"{VAL} --test-scales 48 --shard 1/2 --tag part")
    folder = f"{TESTED}_part_shard-1-of-2"
    report.main(["run", folder])
    page = Path(folder, "page", "index.html").read_text()
    assert '["tag", "part"]' in page and '["shard", "1, 2"]' in page
    report.main(["sheet", folder, "--out", "sheet.png"])
    assert "sheet.png: 2 of 2 images" in capsys.readouterr().out


def test_a_sheet_without_truths_has_images_and_predictions(world, capsys):
    names = [line.split("\t")[0] for line in Path("data/demo/val.lst").read_text().splitlines()]
    Path("data/demo/test.lst").write_text("\n".join(names))
    run("voc", f"--phase test --split test --weights weights/{SEG}_ep-0004.params --cpus 1 --output output "
        "--test-scales 48")
    report.main(["sheet", f"{TESTED}_test", "--out", "sheet.png", "--images", "3"])
    assert "sheet.png: 3 of 4 images" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--pick worst needs truths"):
        report.main(["sheet", f"{TESTED}_test", "--out", "sheet.png", "--pick", "worst"])


def test_a_page_says_all_of_how_it_was_tested(world):
    run("voc", f"{VAL} --test-scales 48 --save-predictions")
    run("msctest", f"--predictions {TESTED} --weights weights/{SEG}_ep-0004.params --test-scales 48 --weights-of 2,1 "
        "--list data/demo/val.lst --output output --tag both")
    report.main(["run", f"{TESTED}_msc_both"])
    page = Path(f"{TESTED}_msc_both/page/index.html").read_text()
    for fact in (f'["predictions", "{TESTED}"]', '["weights of", "2.0, 1.0"]', '["list", "data/demo/val.lst"]'):
        assert fact in page


def test_the_digest_of_samples_goes_by_what_they_are_however_they_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "_BLOCK", 4)
    lines = [f"{index}\t{index % 3}\tä/{index}.png\n" for index in range(11)]
    (tmp_path / "cls.lst").write_text("".join(lines))
    samples = read_classification_list(str(tmp_path / "cls.lst"), "x")
    wanted = identity.samples_digest([Sample("y", f"ä/{index}.png", index % 3) for index in range(11)])
    assert identity.samples_digest(samples) == identity.samples_digest(list(samples)) == wanted
    assert identity.samples_digest(samples[1::2]) == identity.samples_digest(list(samples)[1::2]) != wanted
    (tmp_path / "seg.lst").write_text("a.png\tb.png\nc.png\nd.png\te\n")
    pairs = read_segmentation_list(str(tmp_path / "seg.lst"), "x")
    assert identity.samples_digest(pairs) == identity.samples_digest(list(pairs))
    (tmp_path / "seg.lst").write_text("a.png\tb.png\nc.png\tf\nd.png\te\n")
    other = read_segmentation_list(str(tmp_path / "seg.lst"), "x")
    assert identity.samples_digest(other) == identity.samples_digest(list(other)) != identity.samples_digest(pairs)
