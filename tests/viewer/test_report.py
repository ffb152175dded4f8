import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from posewright.core.errors import InputError
from posewright.structures.cameras import Camera
from posewright.viewer.packing import pack_confidence, pack_quantised
from posewright.viewer.report import write_report
from posewright.viewer.report_data import warning_time
from tests.viewer.walking import walking, walking_angles

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{data}} <!-- ' \" & \u2028"


class Page(HTMLParser):
    """Elements of a page: (tag, attributes, text)."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[list] = []
        self.inside = False
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.elements[-1][2] += data

    def of(self, tag):
        return [element for element in self.elements if element[0] == tag]

    def block(self, name):
        return next(text for _, attributes, text in self.of("script") if attributes.get("id") == name)

    @property
    def data(self):
        return json.loads(self.block("data"))


def unpack(header, text):
    """Read a packed array by the words of its description, not by the code that wrote it."""
    whole = np.frombuffer(
        zlib.decompress(base64.b64decode(text)), np.dtype(header["dtype"]).newbyteorder("<")
    )
    whole = whole.reshape(header["shape"])
    if header["dtype"] == "float32":
        return whole
    whole = np.cumsum(whole, axis=0, dtype=whole.dtype)
    values = header["offset"] + header["step"] * whole.astype(np.float64)
    return np.where(whole == np.iinfo(whole.dtype).min, np.nan, values) if header["missing"] else values


@pytest.mark.parametrize("span", [5.0, 30.0, 500.0])
def test_law_quantised_arrays_come_back_within_half_a_step(span):
    rng = np.random.default_rng(0)
    values = rng.uniform(-span, span, (50, 3, 7)) + 100
    values[10:20, 1] = np.nan
    packed = pack_quantised(values, 0.001)
    back = unpack(packed.header(), packed.text)
    assert packed.dtype == ("int16" if span < 32 else "int32")
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    assert np.nanmax(np.abs(back - values)) <= 0.0005 + 1e-9


def test_quantised_infinities_and_absurd_values_are_missing():
    packed = pack_quantised(np.array([[1.0], [np.inf], [1e12], [2.0]]), 0.001)
    np.testing.assert_allclose(unpack(packed.header(), packed.text)[:, 0], [1, np.nan, np.nan, 2])


def test_quantised_all_missing_and_empty():
    packed = pack_quantised(np.full((4, 2, 3), np.nan), 0.001)
    assert np.isnan(unpack(packed.header(), packed.text)).all()
    assert pack_quantised(np.zeros((5, 0, 26, 3)), 0.001).shape == (5, 0, 26, 3)


def test_law_confidence_comes_back_within_half_a_step():
    values = np.random.default_rng(1).uniform(0, 1, (30, 2, 5))
    packed = pack_confidence(values)
    assert np.abs(unpack(packed.header(), packed.text) - values).max() <= 0.5 / 255 + 1e-9


def test_page_holds_the_motion(tmp_path):
    motion = walking()
    page = Page(write_report(motion, tmp_path / "report.html", angles=walking_angles(motion)))
    arrays = {
        name: unpack(header, page.block(f"array-{name}")) for name, header in page.data["arrays"].items()
    }
    np.testing.assert_allclose(arrays["joints"], motion.joints, atol=0.00051)
    np.testing.assert_allclose(arrays["joints_raw"], motion.joints_raw, atol=0.00051)
    np.testing.assert_allclose(arrays["keypoints"], motion.keypoints.positions, atol=0.1251)
    np.testing.assert_array_equal(arrays["contacts"], motion.contacts)
    np.testing.assert_allclose(arrays["angles"], walking_angles(motion).values, atol=0.00026)
    np.testing.assert_allclose(arrays["camera"][0, :, :3], motion.camera.R, atol=1e-6)
    np.testing.assert_allclose(arrays["camera"][0, :, 3], motion.camera.t, atol=1e-6)
    assert page.data["warnings"][0] == {"text": motion.warnings[0], "time": 2.5}
    assert page.data["history"] == list(motion.history)


def test_bare_motion_and_moving_camera(tmp_path):
    T = 40
    R = np.repeat(np.eye(3)[None], T, 0)
    moving = Camera(np.diag([300.0, 300, 1]), (320, 240), R, np.arange(T * 3.0).reshape(T, 3))
    bare = walking(keypoints=None, camera=None, joints_raw=None, contacts=None, warnings=(), source="")
    page = Page(write_report(bare, tmp_path / "bare.html"))
    assert set(page.data["arrays"]) == {"joints", "confidence"}
    page = Page(write_report(walking(camera=moving), tmp_path / "moving.html"))
    assert unpack(page.data["arrays"]["camera"], page.block("array-camera")).shape == (T, 3, 4)


def test_nothing_is_loaded_and_only_this_script_runs(tmp_path):
    page = Page(write_report(walking(), tmp_path / "report.html", exports=[]))
    policy = next(
        a["content"] for _, a, _ in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    running = [text for _, attributes, text in page.of("script") if "type" not in attributes]
    assert len(running) == 1
    for kind, text in (("script", running[0]), ("style", page.of("style")[0][2])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for tag, attributes, _ in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_hostile_texts_stay_text(tmp_path):
    motion = walking(source=HOSTILE, warnings=(HOSTILE,), history=(HOSTILE,))
    export = tmp_path / "a'&<b>{{script}}.csv"
    export.write_bytes(b"x")
    plain = Page(write_report(walking(), tmp_path / "plain.html", exports=[export]))
    page = Page(write_report(motion, tmp_path / "report.html", exports=[export]))
    assert [e[0] for e in page.elements] == [e[0] for e in plain.elements]
    assert page.data["title"] == HOSTILE
    assert page.data["warnings"][0]["text"] == HOSTILE
    assert page.data["exports"][0]["name"] == export.name


def test_names_that_are_no_unicode(tmp_path):
    page = Page(write_report(walking(source="bad\udcff name"), tmp_path / "report.html"))
    assert page.data["title"] == "bad? name"


def test_exports_travel_inside_or_are_linked(tmp_path):
    files = [tmp_path / "out" / "motion one.bvh", tmp_path / "motion#2.csv"]
    for number, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(range(256)) * (number + 1))
    page = Page(write_report(walking(), tmp_path / "report.html", exports=files))
    for number, file in enumerate(files):
        assert base64.b64decode(page.block(f"export-{number}")) == file.read_bytes()
    page = Page(write_report(walking(), tmp_path / "linked.html", exports=files, embed_limit=500))
    entries = page.data["exports"]
    assert [entry["embedded"] for entry in entries] == [False, False]
    assert [entry["href"] for entry in entries] == ["./out/motion%20one.bvh", "./motion%232.csv"]
    assert "export-0" not in page.text


def test_photo_is_known_by_its_bytes(tmp_path):
    photo = tmp_path / "photo.mp4"
    photo.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    page = Page(write_report(walking(frames=1, people=1), tmp_path / "report.html", video=photo))
    assert page.data["media"] == {"type": "image/png", "kind": "image"}
    assert base64.b64decode(page.block("media")) == photo.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_bad_video_is_one_clear_error_and_leaves_no_file(tmp_path, content):
    video = tmp_path / "clip.mp4"
    if content is not None:
        video.write_bytes(content)
    with pytest.raises(InputError, match="clip"):
        write_report(walking(), tmp_path / "report.html", video=video)
    assert not (tmp_path / "report.html").exists()


def test_missing_export_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"gone\.bvh"):
        write_report(walking(), tmp_path / "report.html", exports=[tmp_path / "gone.bvh"])


def test_other_frames_are_refused(tmp_path):
    motion = walking()
    with pytest.raises(ValueError, match=r"angles\.values has \(20, 2\)"):
        write_report(motion, tmp_path / "r.html", angles=walking_angles(walking(frames=20)))
    with pytest.raises(ValueError, match=r"motion\.keypoints has \(20, 2\)"):
        write_report(walking(keypoints=walking(frames=20).keypoints), tmp_path / "r.html")
    with pytest.raises(ValueError, match="no frames"):
        write_report(walking(frames=0), tmp_path / "r.html")


def test_ten_minutes_of_two_people_stay_small(tmp_path):
    """Jitter on every number is the worst case for packing: 30 fps, raw and cleaned joints, keypoints, no video."""
    motion = walking(frames=18000, fps=30.0)
    noise = np.random.default_rng(0).normal(0, 0.002, motion.joints.shape).astype(np.float32)
    path = write_report(replace(motion, joints=motion.joints + noise), tmp_path / "long.html")
    assert path.stat().st_size < 15_000_000


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Person 2 leaves the picture at 4.1 s.", 4.1),
        ("feet out of view from 2 to 3.5 seconds", 2.0),
        ("lost between 2.25 and 3 s", 2.25),
        ("left and right swapped at 2.0, 2.5 and 3.1 s", 2.0),
        ("lost for 0.5 s", None),
        ("height assumed at 1.75 m", None),
        ("after 3 frames, at 2.5 s, found again", 2.5),
        ("leaves at 99 s", None),
        ("at 0.2 s, before the part that was asked for", None),
    ],
)
def test_warning_time(text, time):
    assert warning_time(text, walking(frames=200)) == time


def test_policy_allows_blobs_for_media_only(tmp_path):
    text = write_report(walking(), tmp_path / "report.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert re.findall(r"([\w-]+) data: blob:", policy) == ["img-src", "media-src"]
