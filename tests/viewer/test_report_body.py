"""Fitted bodies in the report: what is packed, and what the page makes of it."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from posewright.viewer.report import write_report
from tests.io.made_body import made_motion, posed
from tests.viewer.test_report import Page, unpack
from tests.viewer.test_report_browser import (
    browser,  # noqa: F401 (a fixture)
    changed,
    opened,
    picture,
)
from tests.viewer.test_report_browser import (
    pytestmark as in_chromium,
)

BODY = '#view-toggles button:text-is("Body")'


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    motion, rigs = made_motion()
    path = tmp_path_factory.mktemp("bodies") / "report.html"
    return motion, rigs, write_report(motion, path, body_rigs=rigs)


def test_law_packed_bodies_come_back(report):
    motion, rigs, path = report
    page = Page(path)
    headers = page.data["arrays"]
    arrays = {
        name: unpack(headers[name], page.block(f"array-{name}"))
        for name in headers
        if name.startswith("body_")
    }
    np.testing.assert_allclose(arrays["body_rotations"], motion.bodies.rotations_wxyz, atol=0.00026)
    np.testing.assert_allclose(arrays["body_transl"], motion.bodies.transl, atol=0.00026)
    for p, rig in enumerate(rigs):
        np.testing.assert_allclose(arrays["body_vertices"][p], rig.vertices, atol=0.00011)
        np.testing.assert_array_equal(arrays["body_skin_joints"][p], rig.skin_joints)
        np.testing.assert_allclose(arrays["body_skin_weights"][p], rig.skin_weights, atol=0.002)
        np.testing.assert_array_equal(arrays["body_bind"][p], rig.bind[:, :3])
        np.testing.assert_array_equal(arrays["body_offsets"][p, 0], rig.joints[0])
    np.testing.assert_array_equal(arrays["body_faces"], rigs[0].faces)
    assert page.data["body"]["turning"] == [0, 1, 3, 4]


def test_without_bodies_or_rigs_nothing_is_packed(tmp_path):
    motion, _ = made_motion()
    page = Page(write_report(motion, tmp_path / "report.html"))
    assert page.data["body"] is None
    assert not any(name.startswith("body_") for name in page.data["arrays"])


def test_rigs_of_other_people_are_refused(tmp_path):
    motion, rigs = made_motion()
    with pytest.raises(ValueError, match="1 rigs for 2 bodies"):
        write_report(motion, tmp_path / "report.html", body_rigs=rigs[:1])
    assert not list(tmp_path.iterdir())


def test_bodies_make_a_small_page(tmp_path):
    """Ten seconds of one person with as many vertices and joints as the page of a run has."""
    motion, _ = made_motion(300, 1)
    plain = write_report(motion.noted("", bodies=None), tmp_path / "plain.html")
    text = write_report(motion, tmp_path / "report.html", body_rigs=made_motion(300, 1)[1]).read_text()
    turns = re.search(r'id="array-body_rotations">([^<]*)<', text)
    assert turns is not None
    assert len(zlib.decompress(base64.b64decode(turns.group(1)))) == 300 * 4 * 4 * 2
    assert len(text) - len(plain.read_text()) < 40_000


@in_chromium
def test_parity_matrices_of_the_page_pose_the_body(browser, report):  # noqa: F811
    motion, rigs, path = report
    with opened(browser, path) as page:
        for p, t in ((0, 0), (0, 13), (1, 7)):
            flat = page.evaluate(f"() => Array.from(posewrightReport.scene.bodies.matrices({p}, {t}))")
            matrices = np.array(flat).reshape(-1, 3, 4)
            rig = rigs[p]
            blended = np.einsum("vk,vkij->vij", rig.skin_weights.astype(float), matrices[rig.skin_joints])
            found = np.einsum("vij,vj->vi", blended[..., :3], rig.vertices) + blended[..., 3]
            expected, _, _ = posed(rig, motion.bodies, p, t)
            np.testing.assert_allclose(found, expected, atol=0.005)
        assert page.evaluate("() => posewrightReport.scene.bodies.matrices(1, 18)") is None
        halfway = page.evaluate("() => Array.from(posewrightReport.scene.bodies.matrices(0, 12.5))")
        ends = [
            page.evaluate(f"() => Array.from(posewrightReport.scene.bodies.matrices(0, {t}))")
            for t in (12, 13)
        ]
        np.testing.assert_allclose(halfway, np.mean(ends, 0), atol=0.02)


@in_chromium
def test_body_is_drawn_in_place_of_the_mannequin(browser, report):  # noqa: F811
    _, _, path = report
    with opened(browser, path) as page:
        page.evaluate("() => posewrightReport.player.seek(0.3)")
        body = picture(page)
        page.click(BODY)
        assert changed(body, picture(page)) > 0.002
        page.click(BODY)
        assert changed(body, picture(page)) < 0.0005


@in_chromium
def test_without_bodies_there_is_no_switch(browser, tmp_path):  # noqa: F811
    motion, _ = made_motion()
    path = write_report(motion, tmp_path / "report.html")
    assert json.loads(Page(path).block("data"))["body"] is None
    with opened(browser, path) as page:
        assert page.locator(BODY).count() == 0
