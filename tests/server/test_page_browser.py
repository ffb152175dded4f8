"""The server's page, used as a person would: in headless Chromium on a telephone's screen."""

import pytest

from tests.server.test_serve import serving, walk  # noqa: F401 (a fixture)
from tests.viewer.test_report_browser import CHROMIUM, LAUNCH, PHONE

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright (extra `dev`)")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium: install it or name it in POSEWRIGHT_CHROMIUM"
)


@pytest.fixture
def page(tmp_path):
    with serving(tmp_path / "data") as (_, client), playwright.sync_playwright() as runner:
        chromium = runner.chromium.launch(executable_path=CHROMIUM, args=list(LAUNCH))
        page = chromium.new_context(**PHONE).new_page()
        page.set_default_timeout(120_000)
        page.troubles = []
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.goto(str(client.base_url))
        yield page
        chromium.close()


def test_upload_follow_open_and_remove(page, walk):  # noqa: F811
    page.set_input_files("#clip", {"name": "<b>walk.npz", "mimeType": "", "buffer": walk})
    page.fill("[name=subject_height]", "17")
    page.click("#send")
    page.wait_for_selector("#wrong:not([hidden])")
    assert "metres between 0.3 and 2.8" in page.inner_text("#wrong")
    page.fill("[name=subject_height]", "1,74")
    page.click("#send")
    page.wait_for_selector(".card.done")
    assert page.inner_text(".card.done .name") == "_b_walk.npz"
    assert "1 person, 15 frames" in page.inner_text(".card.done .soft")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    page.click(".card.done summary")
    with page.expect_download() as download:
        page.click("text=_b_walk.bvh")
    assert download.value.suggested_filename == "_b_walk.bvh"
    with page.expect_popup() as report:
        page.click("text=Open the report")
    report.value.wait_for_selector("canvas:visible")
    page.click("text=Remove")
    page.wait_for_selector(".card.done", state="detached")
    assert page.troubles == []
