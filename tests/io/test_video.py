"""Reading clips of every kind, and writing them."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.io.video import open_clip, write_video


def numbered_frame(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A picture whose brightness says its number and whose top left quarter is white."""
    image = np.full((size[1], size[0], 3), 10 * number % 250, np.uint8)
    image[: size[1] // 2, : size[0] // 2] = 255
    return image


def make_clip(path: Path, frames: int = 12, size: tuple[int, int] = (96, 64), fps: float = 10) -> Path:
    with write_video(path, size, fps, quality=5) as write:
        for number in range(frames):
            write(numbered_frame(number, size))
    return path


def test_law_what_is_written_is_read(tmp_path):
    clip = open_clip(make_clip(tmp_path / "clip.mp4"))
    frames = list(clip)
    assert clip.info.size == (96, 64)
    assert clip.info.fps == 10
    assert clip.info.num_frames == len(frames) == 12
    assert [f.index for f in frames] == list(range(12))
    assert np.allclose([f.time for f in frames], np.arange(12) / 10, atol=1e-3)
    brightness = [float(f.image[-8:, -8:].mean()) for f in frames]
    assert np.allclose(brightness, 10 * np.arange(12), atol=6)
    assert clip.warnings == []


def test_a_clip_can_be_read_twice(tmp_path):
    clip = open_clip(make_clip(tmp_path / "clip.mp4"))
    assert len(list(clip)) == len(list(clip)) == 12


def test_start_and_end_select_by_time(tmp_path):
    frames = list(open_clip(make_clip(tmp_path / "clip.mp4"), start=0.3, end=0.7))
    assert np.allclose([f.time for f in frames], [0.3, 0.4, 0.5, 0.6], atol=1e-3)
    assert abs(float(frames[0].image[-8:, -8:].mean()) - 30) < 6
    assert frames[0].index == 0


def test_non_ascii_paths_and_odd_sizes(tmp_path):
    path = make_clip(tmp_path / "šäé 舞.mp4", size=(97, 65))
    assert open_clip(path).info.size == (96, 64)


@pytest.mark.parametrize(
    ("matrix", "white"),
    [
        ((0, 1, -1, 0), "top right"),
        ((-1, 0, 0, -1), "bottom right"),
        ((0, -1, 1, 0), "bottom left"),
    ],
)
def test_convention_rotation_metadata_is_applied(tmp_path, matrix, white):
    """Phones film sideways and say so in the track header: patch such a header and see where the white corner goes."""
    path = make_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd") + 4
    offset = header + (40 if data[header] == 0 else 52)
    a, b, c, d = (v << 16 for v in matrix)
    data[offset : offset + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    clip = open_clip(path)
    image = next(iter(clip)).image
    assert clip.info.size == ((64, 96) if matrix[0] == 0 else (96, 64))
    assert clip.info.size == (image.shape[1], image.shape[0])
    corners = {
        "top left": image[4, 4],
        "top right": image[4, -5],
        "bottom left": image[-5, 4],
        "bottom right": image[-5, -5],
    }
    assert max(corners, key=lambda name: int(corners[name][0])) == white


def test_photo_is_a_clip_of_one_frame(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.dstack([np.full((40, 50), v, np.uint8) for v in (10, 20, 30)]))
    (frame,) = open_clip(path)
    assert frame.image.shape == (40, 50, 3)
    assert frame.image[0, 0].tolist() == [30, 20, 10]


def test_folder_of_pictures_is_a_clip(tmp_path):
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number:03}.png"), numbered_frame(number))
    clip = open_clip(tmp_path, fps=25)
    assert clip.info.kind == "folder"
    assert np.allclose([f.time for f in clip], np.arange(5) / 25)


def test_folder_whose_pictures_differ_in_size(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), numbered_frame(0))
    cv2.imwrite(str(tmp_path / "b.png"), numbered_frame(0, (48, 64)))
    with pytest.raises(InputError, match=r"b\.png is 48x64, the first picture 96x64"):
        list(open_clip(tmp_path))


def test_truncated_clip_gives_what_is_there_and_says_so(tmp_path):
    path = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 96, 3), dtype=np.uint8)
    with write_video(path, (96, 64), 10) as write:
        for image in noise:
            write(image)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = open_clip(path)
    frames = list(clip)
    assert 0 < len(frames) < 40
    assert len(clip.warnings) == 1
    assert "cut off" in clip.warnings[0]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_clip(tmp_path / "none.mp4")


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="is empty"):
        open_clip(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["text.mp4", "text.png"])
def test_text_renamed(tmp_path, name):
    (tmp_path / name).write_text("this is not what its name says\n" * 20)
    with pytest.raises(InputError, match="cannot be read as a"):
        open_clip(tmp_path / name)


def test_index_cut_off(tmp_path):
    path = make_clip(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read as a video"):
        open_clip(path)


def test_too_small(tmp_path):
    with pytest.raises(InputError, match="8x8"):
        open_clip(make_clip(tmp_path / "small.mp4", size=(8, 8)))


def test_folder_without_pictures(tmp_path):
    with pytest.raises(InputError, match="without pictures"):
        open_clip(tmp_path)


def test_start_after_end(tmp_path):
    path = make_clip(tmp_path / "clip.mp4")
    with pytest.raises(InputError, match="end > start"):
        open_clip(path, start=2, end=1)
    with pytest.raises(InputError, match="after the end"):
        open_clip(path, start=60)


def test_no_half_written_video_stays(tmp_path):
    def interrupted():
        with write_video(tmp_path / "clip.mp4", (96, 64), 10) as write:
            write(numbered_frame(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_leaving_a_clip_early_ends_its_thread(tmp_path):
    import threading

    frames = iter(open_clip(make_clip(tmp_path / "clip.mp4")))
    next(frames)
    frames.close()
    assert not [t for t in threading.enumerate() if t.name == "posewright-decode"]


@pytest.mark.parametrize("start", [None, 0.2])
def test_law_reading_on_after_a_time_gives_the_rest(tmp_path, start):
    clip = open_clip(make_clip(tmp_path / "clip.mp4", frames=40), start=start)
    every = list(clip)
    for cut in (0, 7, 25, len(every) - 1):
        rest = list(clip.after(every[cut].time))
        assert [f.time for f in rest] == [f.time for f in every[cut + 1 :]]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(rest, every[cut + 1 :], strict=True))


def test_a_frame_that_cannot_be_encoded_is_an_error_in_the_block_and_leaves_no_file(tmp_path):
    def grey_instead_of_rgb():
        with write_video(tmp_path / "clip.mp4", (96, 64), 10) as write:
            for _ in range(20):
                write(np.zeros((64, 96), np.uint8))

    with pytest.raises(ValueError, match="ndim|shape|expected"):
        grey_instead_of_rgb()
    assert list(tmp_path.iterdir()) == []
