"""Videos: read, predicted frame by frame, written; whole or, where it is interrupted, as far as it came."""
import cv2
import numpy as np
import pytest

from ademxapp.data.dataset_file import voc_palette
from ademxapp.data.photographs import FORMATS, Video, VideoWriter
from ademxapp.evaluation.videos import classify_video, segment_video

NAMES = ("grass", "path", "\u0434\u043e\u043c")


def levels(count=12, height=61, width=83):
    """Frames of one grey each, darker to lighter, with odd sides."""
    return [np.full((height, width, 3), 20 * i + 10, np.uint8) for i in range(count)]


@pytest.fixture
def clip(tmp_path):
    with VideoWriter(str(tmp_path / "clip"), 12.5) as writer:
        for frame in levels():
            writer.write(frame)
    return str(tmp_path / "clip.mp4")


def labels_of(image):
    """Left half: class 1; the right one 2 in lighter frames."""
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[:, :image.shape[1] // 2] = 1
    labels[:, image.shape[1] // 2:] = 2 * (image.mean() > 100)
    return labels


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_frames_come_back_with_their_times(clip):
    video = Video(clip)
    found = list(video)
    assert (video.frames, round(video.rate, 3), len(found)) == (12, 12.5, 12)
    np.testing.assert_allclose([seconds for seconds, _ in found], np.arange(12) / 12.5, atol=1e-3)
    for (_, pixels), wanted in zip(found, levels()):
        assert pixels.shape == (62, 84, 3) and abs(pixels.mean() - wanted.mean()) < 6


def test_colours_are_not_swapped(tmp_path):
    with VideoWriter(str(tmp_path / "red"), 25) as writer:
        writer.write(np.full((64, 64, 3), (250, 10, 10), np.uint8))
    (_, pixels), = Video(str(tmp_path / "red.mp4"))
    assert np.abs(pixels.reshape(-1, 3).mean(0) - (250, 10, 10)).max() < 12


def test_a_segmented_video_has_an_overlay_and_a_table_of_shares(clip, tmp_path, caplog):
    count, shares = segment_video(Video(clip), str(tmp_path / "out" / "clip"), labels_of, NAMES, voc_palette())
    assert count == 12 and shares.sum() == pytest.approx(1) and shares[1] == 0.5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip_overlay.mp4", "clip_frames.tsv"}
    head, *table = rows(tmp_path / "out" / "clip_frames.tsv")
    assert head == ["frame", "seconds", *NAMES] and [row[0] for row in table] == [str(i) for i in range(12)]
    assert table[0][1:] == ["0.000", "50.00", "50.00", "0.00"] and table[11][2:] == ["0.00", "50.00", "50.00"]
    overlay = list(Video(str(tmp_path / "out" / "clip_overlay.mp4")))
    assert len(overlay) == 12 and overlay[0][1].shape[0] > 62 and overlay[0][1].shape[1] > 84
    assert not caplog.records


def test_what_is_done_at_an_interruption_can_be_played(clip, tmp_path):
    def interrupted(image):
        if image.mean() > 150:
            raise KeyboardInterrupt
        return labels_of(image)

    with pytest.raises(KeyboardInterrupt):
        segment_video(Video(clip), str(tmp_path / "out" / "clip"), interrupted, NAMES, voc_palette())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip_overlay.unfinished.mp4",
                                                                    "clip_frames.unfinished.tsv"}
    done = len(list(Video(str(tmp_path / "out" / "clip_overlay.unfinished.mp4"))))
    assert done == len(rows(tmp_path / "out" / "clip_frames.unfinished.tsv")) - 1 >= 3
    segment_video(Video(clip), str(tmp_path / "out" / "clip"), labels_of, NAMES, voc_palette())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip_overlay.mp4", "clip_frames.tsv"}


def test_a_table_has_its_name_when_the_overlay_has_its_own(clip, tmp_path):
    (tmp_path / "out" / "clip_overlay.mp4").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        segment_video(Video(clip), str(tmp_path / "out" / "clip"), labels_of, NAMES, voc_palette())
    assert (tmp_path / "out" / "clip_frames.unfinished.tsv").exists()
    assert not (tmp_path / "out" / "clip_frames.tsv").exists()


def test_a_classified_video_has_a_table_of_the_best_classes(clip, tmp_path):
    count, means = classify_video(Video(clip), str(tmp_path / "clip"), lambda image: np.float32(
        [0.75, 0.25, 0] if image.mean() < 100 else [0.1, 0.2, 0.7]), NAMES)
    head, *table = rows(tmp_path / "clip_frames.tsv")
    assert count == 12 and head == ["frame", "seconds", "class", "percent"] and means.sum() == pytest.approx(1)
    assert table[0] == ["0", "0.000", "grass", "75.00"] and table[11][2:] == [NAMES[2], "70.00"]


def test_jpegs_in_an_avi_where_there_is_no_mpeg4(monkeypatch, tmp_path):
    monkeypatch.setattr("ademxapp.data.photographs.FORMATS", ((".mp4", "XXXX"), *FORMATS[1:]))
    with VideoWriter(str(tmp_path / "clip"), 25) as writer:
        writer.write(levels()[3])
    assert writer.path.endswith(".avi") and len(list(Video(writer.path))) == 1


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_what_is_no_video_is_named(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="x.mp4 cannot be read as a video"):
        Video(str(tmp_path / "x.mp4"))
    with pytest.raises(FileNotFoundError, match="none.mp4"):
        Video(str(tmp_path / "none.mp4"))


def test_what_opencv_makes_of_other_containers_is_read(tmp_path):
    for name, code in (("a.avi", "MJPG"), ("b.mkv", "mp4v"), ("c.mov", "mp4v")):
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*code), 10, (64, 48))
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.release()
        assert len(list(Video(str(tmp_path / name)))) == 3
