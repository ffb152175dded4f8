"""The report driven as a person would: in headless Chromium, by mouse, touch and keyboard."""

import os
import shutil
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from posewright.io.video import write_video
from posewright.viewer.report import write_report
from tests.viewer.walking import SIZE, walking, walking_angles

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright (extra `dev`)")

CHROMIUM = os.environ.get("POSEWRIGHT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium: install it or name it in POSEWRIGHT_CHROMIUM"
)
LAUNCH = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP = {"viewport": {"width": 1000, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PATIENCE_MS = 120_000
BLUE, ORANGE = (42, 125, 192), (217, 114, 10)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as runner:
        chromium = runner.chromium.launch(executable_path=CHROMIUM, args=list(LAUNCH))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports by name: with a video, of a photo, bare (no camera), with nobody."""
    folder = tmp_path_factory.mktemp("reports")
    motion = walking()
    with write_video(folder / "clip.mp4", SIZE, motion.fps) as write:
        for frame in range(motion.num_frames):
            write(np.full((SIZE[1], SIZE[0], 3), 60 + 2 * frame, np.uint8))
    cv2.imwrite(str(folder / "photo.png"), np.full((SIZE[1], SIZE[0], 3), 120, np.uint8))
    export = folder / "motion & <b>.csv"
    export.write_bytes(bytes(range(256)) * 40)
    bare = walking(keypoints=None, camera=None, joints_raw=None, contacts=None, warnings=())
    hostile = "</script><img src=x onerror=alert(1)>"
    nobody = walking(people=0, warnings=(hostile,), source=hostile)
    return {
        "video": write_report(
            motion,
            folder / "video.html",
            video=folder / "clip.mp4",
            exports=[export],
            angles=walking_angles(motion),
        ),
        "photo": write_report(walking(frames=1), folder / "photo.html", video=folder / "photo.png"),
        "bare": write_report(bare, folder / "bare.html"),
        "nobody": write_report(nobody, folder / "nobody.html"),
        "export": export,
    }


@contextmanager
def opened(browser, path, options=DESKTOP):
    """A page that is ready; on leaving, it must have said nothing in the console and asked for nothing."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    said, asked = [], []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=true]")
        settle(page)
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith("blob:")] == [path.as_uri()]
    finally:
        context.close()


def settle(page):
    """Let everything be drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def until(page, condition):
    """Wait for a condition on the page (its security policy forbids Playwright's own way, which evaluates text)."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never came true: {condition}"
        page.wait_for_timeout(20)


def picture(page, selector="#view"):
    """What an element looks like: (H, W, 3) uint8 RGB."""
    settle(page)
    png = np.frombuffer(page.locator(selector).screenshot(timeout=PATIENCE_MS), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(int)


def amount(image, colour):
    """Number of pixels of about that hue: direction in RGB within a few degrees, and well coloured."""
    flat = image - image.mean(-1, keepdims=True)
    wanted = np.array(colour) - np.mean(colour)
    cosine = (flat @ wanted) / (np.linalg.norm(flat, axis=-1) * np.linalg.norm(wanted) + 1e-9)
    return int(((cosine > 0.97) & (np.linalg.norm(flat, axis=-1) > 40)).sum())


def frame(page):
    return page.evaluate("() => posewrightReport.player.frame")


def changed(before, after):
    """Share of pixels that differ visibly."""
    return (np.abs(before - after).max(-1) > 24).mean()


def test_both_people_are_drawn_in_both_panes(browser, reports):
    with opened(browser, reports["video"]) as page:
        view, clip = picture(page), picture(page, "#picture")
        assert amount(view, BLUE) > 500
        assert amount(view, ORANGE) > 500
        assert amount(clip, BLUE) > 100
        assert amount(clip, ORANGE) > 100


def test_play_advances_time_video_and_bodies(browser, reports):
    with opened(browser, reports["video"]) as page:
        before = picture(page)
        page.click("#speeds >> text=0.25×")
        page.click("#play")
        until(page, "() => posewrightReport.player.frame > 5")
        page.click("#play")
        page.wait_for_selector("#transport:not(.playing)")
        video = page.evaluate("() => document.querySelector('video').currentTime")
        assert int(video * 20) == frame(page)
        assert changed(before, picture(page)) > 0.002


def test_scrubbing_sets_the_frame_of_clip_and_view(browser, reports):
    with opened(browser, reports["video"]) as page:
        box = page.locator("#track").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 10 / 39, box["y"] + 30)
        settle(page)
        assert frame(page) == 10
        page.evaluate(
            "() => new Promise(done => { const v = document.querySelector('video');"
            " v.seeking ? v.addEventListener('seeked', () => done(), { once: true }) : done(); })"
        )
        assert int(page.evaluate("() => document.querySelector('video').currentTime") * 20) == 10
        grey = np.median(picture(page, "#picture").reshape(-1, 3), axis=0)
        assert np.abs(grey - (60 + 20)).max() < 8
        assert page.locator("#track").get_attribute("aria-valuenow") == "10"
        assert page.locator("#clock-time").inner_text() == "0:02.00"


def test_pose_on_screen_is_the_motion_at_that_time(browser, reports):
    motion = walking()
    with opened(browser, reports["video"]) as page:
        for at in (3, 3.25):
            pose = page.evaluate("at => posewrightReport.clip.pose(0, at)", at)
            before, part = int(at), at % 1
            expected = motion.joints[before, 0] * (1 - part) + motion.joints[before + 1, 0] * part
            np.testing.assert_allclose(pose, expected, atol=0.00051)
        assert page.evaluate("() => posewrightReport.clip.pose(1, 30).every(joint => joint === null)")


def test_camera_view_lays_bodies_over_the_clip(browser, reports):
    """The viewer's projection in the camera's view equals the 2D keypoints, pixel for pixel."""
    motion = walking()
    with opened(browser, reports["video"]) as page:
        page.click("text=Camera >> nth=0")
        settle(page)
        clip_coordinates = page.evaluate(
            """joint => { const m = posewrightReport.scene.viewpoint.viewProjection();
            const c = [0, 1, 2, 3].map(r => m[r] * joint[0] + m[4 + r] * joint[1] + m[8 + r] * joint[2] + m[12 + r]);
            const box = posewrightReport.scene.viewpoint.pictureBox(), canvas = document.getElementById('view');
            return [((c[0] / c[3] + 1) / 2 * canvas.clientWidth - box.x) / box.s - 0.5,
                    ((1 - c[1] / c[3]) / 2 * canvas.clientHeight - box.y) / box.s - 0.5]; }""",
            motion.joints[0, 0, motion.skeleton.index("left_wrist")].tolist(),
        )
        wrist = motion.keypoints.positions[0, 0, motion.keypoints.skeleton.index("left_wrist")]
        np.testing.assert_allclose(clip_coordinates, wrist, atol=0.01)


def test_dragging_turns_and_wheel_zooms(browser, reports):
    with opened(browser, reports["video"]) as page:
        start = picture(page)
        box = page.locator("#view").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 120, middle[1] + 10, steps=4)
        page.mouse.up()
        turned = picture(page)
        assert changed(start, turned) > 0.01
        page.mouse.wheel(0, -400)
        assert amount(picture(page), BLUE) > 1.2 * amount(turned, BLUE)
        page.click("text=Reset")
        assert changed(start, picture(page)) < 0.002


def test_two_fingers_zoom_and_one_turns(browser, reports):
    with opened(browser, reports["video"], PHONE) as page:
        page.locator("#view").scroll_into_view_if_needed()
        box = page.locator("#view").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + 80
        fingers = page.context.new_cdp_session(page)

        def touch(kind, *places):
            points = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(places)]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        read = "() => [posewrightReport.scene.viewpoint.distance, posewrightReport.scene.viewpoint.azimuth]"
        distance, azimuth = page.evaluate(read)
        touch("touchStart", (x - 20, y), (x + 20, y))
        touch("touchMove", (x - 40, y), (x + 40, y))
        touch("touchEnd")
        nearer, same = page.evaluate(read)
        assert nearer == pytest.approx(distance / 2, rel=0.05)
        assert same == azimuth
        touch("touchStart", (x, y))
        touch("touchMove", (x + 60, y))
        touch("touchEnd")
        assert page.evaluate(read)[1] != pytest.approx(azimuth, abs=0.1)


def test_people_can_be_hidden(browser, reports):
    with opened(browser, reports["video"]) as page:
        page.click(".person >> nth=1")
        assert amount(picture(page), ORANGE) == 0
        assert amount(picture(page, "#picture"), ORANGE) == 0
        assert amount(picture(page), BLUE) > 500
        page.click(".person >> nth=1")
        assert amount(picture(page), ORANGE) > 500


def test_person_who_left_is_not_drawn(browser, reports):
    with opened(browser, reports["video"]) as page:
        page.evaluate("() => posewrightReport.player.seek(1.5)")
        assert amount(picture(page), ORANGE) == 0
        assert amount(picture(page), BLUE) > 300


def test_layers_switch_on_and_off(browser, reports):
    with opened(browser, reports["video"]) as page:
        page.evaluate("() => posewrightReport.player.seek(0.6)")
        for label in ("Ground", "Trails", "Contacts", "Raw joints"):
            before = picture(page)
            page.click(f"#view-toggles >> text={label}")
            assert changed(before, picture(page)) > 0.0002, label
        before = picture(page, "#picture")
        page.click("text=2D overlay")
        after = picture(page, "#picture")
        assert changed(before, after) > 0.001
        assert amount(after, BLUE) == 0


def test_keyboard(browser, reports):
    with opened(browser, reports["video"]) as page:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert frame(page) == 1
        page.keyboard.press("End")
        assert frame(page) == 39
        page.keyboard.press("Home")
        assert frame(page) == 0
        page.keyboard.press("Space")
        page.wait_for_selector(".playing")
        page.keyboard.press("Space")
        page.wait_for_selector("#transport:not(.playing)")
        page.locator("#view").focus()
        before = picture(page)
        page.keyboard.press("Shift+ArrowLeft")
        assert changed(before, picture(page)) > 0.005


def test_playing_right_after_two_seeks_starts_where_the_second_went(browser, reports):
    """The first seek, to the last frame, is still under way: playing on from there would end the clip at once."""
    with opened(browser, reports["video"]) as page:
        page.evaluate(
            "() => { const p = posewrightReport.player; p.loop = false; p.setSpeed(0.25);"
            " p.seek(9); p.seek(0); p.play(); }"
        )
        until(page, "() => posewrightReport.player.frame > 0")
        assert frame(page) < 30
        assert page.evaluate("() => posewrightReport.player.playing")


def test_warning_leads_to_its_time(browser, reports):
    with opened(browser, reports["video"]) as page:
        page.click("text=Person 2 leaves the picture")
        settle(page)
        assert frame(page) == 20
        assert page.locator("#clock-time").inner_text() == "0:02.50"


def test_plots_show_values_and_lead_to_their_time(browser, reports):
    motion = walking()
    with opened(browser, reports["video"]) as page:
        plot = page.locator("#angle-charts .chart", has_text="Knee angle").locator(".plot")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        plot.hover(position={"x": 38 + (box["width"] - 46) * 10 / 39, "y": 40})
        degrees = np.degrees(walking_angles(motion).of("knee_angle_l")[10, 0])
        assert f"Person 1, left {degrees:.1f}°" in plot.locator(".tip").inner_text()
        page.mouse.down()
        page.mouse.up()
        assert frame(page) == 10
        page.click("#angle-chooser summary")
        page.click("#angle-choices >> text=Knee angle")
        assert page.locator("#angle-charts .chart", has_text="Knee angle").count() == 0


def test_download_gives_the_exact_bytes(browser, reports, tmp_path):
    with opened(browser, reports["video"]) as page:
        with page.expect_download() as download:
            page.click("#exports a")
        assert download.value.suggested_filename.endswith(".csv")
        download.value.save_as(tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == reports["export"].read_bytes()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("video", "light"), ("video", "dark"), ("photo", "light"), ("bare", "dark"), ("nobody", "light")],
)
def test_phone_has_no_sideways_scroll_and_large_targets(browser, reports, name, scheme):
    with opened(browser, reports[name], {**PHONE, "color_scheme": scheme}) as page:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        sizes = page.evaluate(
            "() => [...document.querySelectorAll('button')].filter(b => b.offsetParent)"
            ".map(b => [b.offsetWidth, b.offsetHeight])"
        )
        assert min(min(size) for size in sizes) >= 40


def test_photo_is_shown_with_its_pose_and_without_a_player(browser, reports):
    with opened(browser, reports["photo"]) as page:
        assert page.locator("#picture img").is_visible()
        assert not page.locator("#play").is_visible()
        assert amount(picture(page, "#picture"), BLUE) > 100
        assert amount(picture(page), BLUE) > 500


def test_without_video_the_clock_plays(browser, reports):
    with opened(browser, reports["bare"]) as page:
        assert not page.locator("#clip-pane").is_visible()
        page.click("#speeds >> text=2×")
        page.keyboard.press("l")
        page.locator("#view").focus()
        page.keyboard.press("Space")
        page.wait_for_selector(".playing")
        page.wait_for_selector("#transport:not(.playing)")
        assert frame(page) == 39


def test_nobody_is_said_so(browser, reports):
    with opened(browser, reports["nobody"]) as page:
        assert "No person was found" in page.locator("#banner").inner_text()
        assert "onerror" in page.locator("h1").inner_text()


def test_without_webgl_the_rest_works(browser, reports):
    context = browser.new_context(**DESKTOP)
    context.add_init_script(
        "const original = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return kind === 'webgl2' ? null : original.call(this, kind, ...rest); };"
    )
    page = context.new_page()
    page.goto(reports["video"].as_uri())
    page.wait_for_selector("html[data-ready=true]")
    assert "cannot draw in 3D" in page.locator("#view-fallback").inner_text()
    page.keyboard.press("ArrowRight")
    assert frame(page) == 1
    context.close()
