"""Calibration of a rig whose truth is known: the board is drawn through known cameras."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import pytest
import torch

from posewright.cli import run_command_line
from posewright.core.errors import InputError
from posewright.geometry.cameras import look_at, unproject
from posewright.geometry.rotations import rotvec_to_matrix
from posewright.io.calibration import load_rig, save_rig
from posewright.pipelines.boards import draw_board, find_board, parse_board, print_board
from posewright.pipelines.calibrate import calibrate_rig
from posewright.structures.cameras import Camera, CameraRig

SIZE = (640, 480)
CHARUCO = parse_board("charuco:5x7:0.08:0.06")
CHESS = parse_board("chessboard:9x6:0.06")
POSES = 24
FLOOR = 0
"""The first picture shows the board on the floor."""


def true_rig() -> CameraRig:
    centres = torch.tensor([[-0.9, -1.3, 1.0], [0, -1.5, 1.1], [0.9, -1.2, 1.2]], dtype=torch.float64)
    R, t = look_at(centres, torch.tensor([0.0, 0, 0.3], dtype=torch.float64))
    lenses = [(620.0, -0.12), (560.0, 0.08), (680.0, -0.2)]
    cameras = [
        Camera(
            np.array([[f, 0, 322.0], [0, f, 236.0], [0, 0, 1]]),
            SIZE,
            R[n].numpy(),
            t[n].numpy(),
            np.array([k1, 0.05, 0.0005, -0.0005, 0]),
            name=f"cam{n + 1}",
        )
        for n, (f, k1) in enumerate(lenses)
    ]
    return CameraRig(tuple(cameras))


def board_poses() -> list[tuple[np.ndarray, np.ndarray]]:
    """Board to world: once flat on the floor, then held up before the cameras, slanted in all ways."""
    rng = np.random.default_rng(5)
    up = np.array([[1.0, 0, 0], [0, 0.5, -0.866], [0, 0.866, 0.5]])  # faces the cameras
    turns = rotvec_to_matrix(torch.from_numpy(rng.uniform(-0.7, 0.7, (POSES - 1, 3)))).numpy()
    places = rng.uniform([-0.35, -0.25, 0.3], [0.0, 0.25, 0.75], (POSES - 1, 3))
    return [
        (np.eye(3), np.array([-0.2, 0.3, 0.0])),
        *((up @ R, p) for R, p in zip(turns, places, strict=True)),
    ]


@cache
def camera_rays(name: str) -> np.ndarray:
    """Unit rays (N, 3) of a camera, camera axes, one to a pixel."""
    camera = true_rig()[name]
    x, y = np.meshgrid(np.arange(SIZE[0], dtype=float), np.arange(SIZE[1], dtype=float))
    pixels = torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2))
    return unproject(pixels, torch.from_numpy(camera.K), torch.from_numpy(camera.distortion)).numpy()


def picture(board, camera: Camera, R: np.ndarray, t: np.ndarray, rng) -> np.ndarray:
    """Draw a board (pose: board to world) as a camera sees it, grey, with noise; the page's margin lies round it."""
    square = 60
    page, margin = draw_board(board, square), square // 2
    rays = camera_rays(camera.name)
    direction = rays @ camera.R @ R
    eye = (-camera.R.T @ camera.t - t) @ R
    hit = eye + direction * (-eye[2] / direction[:, 2])[:, None]
    ahead = (hit - eye) @ np.array([0, 0, -1.0]) > 0  # a page seen from behind shows nothing
    first = 0 if board.kind == "charuco" else square  # our origin is a chessboard's first inner corner
    u = hit[:, 0] / board.square * square + margin + first - 0.5
    v = -hit[:, 1] / board.square * square + margin + first - 0.5
    u, v = (np.where(ahead, a, -1e4).astype(np.float32).reshape(SIZE[1], SIZE[0]) for a in (u, v))
    seen = cv2.remap(cv2.GaussianBlur(page, (0, 0), 1.5), u, v, cv2.INTER_LINEAR, borderValue=110)
    return np.clip(seen + rng.normal(0, 3, seen.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Filmed:
    pictures: list[list[np.ndarray]]
    """By camera, then pose."""


@cache
def filmed(kind: str = "charuco") -> Filmed:
    rng = np.random.default_rng(1)
    board = CHARUCO if kind == "charuco" else CHESS
    return Filmed([[picture(board, c, R, t, rng) for R, t in board_poses()] for c in true_rig().cameras])


def folders(tmp_path, pictures) -> list[str]:
    out = []
    for n, shown in enumerate(pictures, 1):
        (tmp_path / f"cam{n}").mkdir()
        for k, image in enumerate(shown):
            cv2.imwrite(str(tmp_path / f"cam{n}" / f"{k:03d}.png"), image)
        out.append(str(tmp_path / f"cam{n}"))
    return out


def degrees(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1))))


def relative(rig: CameraRig, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pose of camera n in the axes of the first one, and where it stands there."""
    first, camera = rig.cameras[0], rig.cameras[n]
    R = camera.R @ first.R.T
    return R, first.R @ (-camera.R.T @ camera.t + first.R.T @ first.t)


@pytest.mark.parametrize("kind", ["charuco", "chessboard"])
def test_law_recovers_the_rig(kind, tmp_path):
    board = CHARUCO if kind == "charuco" else CHESS
    found = calibrate_rig(folders(tmp_path, filmed(kind).pictures), board, floor=FLOOR)
    truth = true_rig()
    for n, (camera, true) in enumerate(zip(found.rig.cameras, truth.cameras, strict=True)):
        assert camera.K[0, 0] == pytest.approx(true.K[0, 0], rel=0.005)
        R, centre = relative(found.rig, n)
        true_R, true_centre = relative(truth, n)
        assert degrees(R, true_R) < 0.2
        assert np.linalg.norm(centre - true_centre) < 0.003
        assert found.cameras[n].error_px < 0.5
    assert found.world == "board on the floor"
    for camera, true in zip(
        found.rig.cameras, truth.cameras, strict=True
    ):  # the world too: Z up from the floor
        where = -camera.R.T @ camera.t + [-0.2, 0.3, 0]
        assert np.linalg.norm(where + true.R.T @ true.t) < 0.02
        assert degrees(camera.R, true.R) < 1.0


def test_without_floor_the_world_is_the_first_camera_and_says_so(tmp_path):
    found = calibrate_rig(folders(tmp_path, filmed().pictures[:2]), CHARUCO)
    first = found.rig.cameras[0]
    np.testing.assert_allclose(-first.R.T @ first.t, 0, atol=1e-12)
    np.testing.assert_allclose(first.R.T @ [0, 1, 0], [0, 0, -1], atol=1e-12)  # down the picture is down
    assert found.world == "first camera"
    assert any("--floor" in w for w in found.warnings)


def test_few_pictures_are_remarked(tmp_path):
    some = [p[1:7] for p in filmed().pictures[:2]]
    found = calibrate_rig(folders(tmp_path, some), CHARUCO)
    assert any("cam1: only" in w for w in found.warnings)
    assert any("together" in w for w in found.warnings)


def test_lenses_only_needs_no_shared_moments(tmp_path):
    found = calibrate_rig(folders(tmp_path, filmed().pictures), str(CHARUCO), intrinsics_only=True)
    assert found.world == "none"
    for camera, true in zip(found.rig.cameras, true_rig().cameras, strict=True):
        assert camera.K[0, 0] == pytest.approx(true.K[0, 0], rel=0.005)
    assert any("multiview cannot use" in w for w in found.warnings)


def test_contract_calibration_survives_toml(tmp_path):
    found = calibrate_rig(folders(tmp_path, filmed().pictures[:2]), CHARUCO)
    save_rig(found.rig, tmp_path / "calib.toml")
    for camera, written in zip(load_rig(tmp_path / "calib.toml").cameras, found.rig.cameras, strict=True):
        assert (camera.name, camera.image_size) == (written.name, written.image_size)
        for name in ("K", "R", "t", "distortion"):
            np.testing.assert_allclose(getattr(camera, name), getattr(written, name), atol=1e-9)


# ----------------------------------------------------------------------------------------------- bad input


def blank() -> np.ndarray:
    return np.full((SIZE[1], SIZE[0]), 120, np.uint8)


def test_no_board_names_files_and_what_was_looked_for(tmp_path):
    sources = folders(tmp_path, [filmed().pictures[0], [blank()] * 6])
    with pytest.raises(InputError, match=r"looked for charuco:5x7.*cam2 \(0 of 6 pictures\)"):
        calibrate_rig(sources, CHARUCO)


def test_never_together_names_the_groups(tmp_path):
    a, b = filmed().pictures[:2]
    sources = folders(tmp_path, [a[:7] + [blank()] * 7, [blank()] * 7 + b[7:]])
    with pytest.raises(InputError, match="never seen by cam1 and cam2 at the same time"):
        calibrate_rig(sources, CHARUCO)


def test_a_third_camera_links_two_that_share_nothing(tmp_path):
    a, b, c = filmed().pictures
    sources = folders(tmp_path, [a[:7] + [blank()] * 7, b, [blank()] * 7 + c[7:]])
    found = calibrate_rig(sources, CHARUCO)
    _, centre = relative(found.rig, 2)
    assert np.linalg.norm(centre - relative(true_rig(), 2)[1]) < 0.02


@pytest.mark.parametrize(
    "wrong", ["charuco:7x5:0.08:0.06", "charuco:5x7:0.08:0.06:6X6_50", "chessboard:8x5:0.08"]
)
def test_wrong_board_is_an_error(wrong, tmp_path):
    with pytest.raises(InputError, match=wrong.split(":0.08")[0]):
        calibrate_rig(folders(tmp_path, [p[:8] for p in filmed().pictures[:2]]), wrong)


def test_clips_that_do_not_belong_together_are_an_error(tmp_path):
    a, b = filmed().pictures[:2]
    with pytest.raises(InputError, match="synchronised"):
        calibrate_rig(folders(tmp_path, [a, b[3:] + b[:3]]), CHARUCO)


def test_missing_clip_is_said_before_any_work(tmp_path):
    sources = [*folders(tmp_path, [filmed().pictures[0]]), str(tmp_path / "cam2.mp4")]
    with pytest.raises(InputError, match=r"cam2\.mp4 does not exist"):
        calibrate_rig(sources, CHARUCO)


def test_floor_without_board_says_when_there_is_one(tmp_path):
    with pytest.raises(InputError, match=r"--floor 60; nearest: 0\.77 s"):
        calibrate_rig(folders(tmp_path, filmed().pictures[:2]), CHARUCO, floor=60)


def test_symmetric_chessboard_is_refused_for_a_rig(tmp_path):
    with pytest.raises(InputError, match="upside down"):
        calibrate_rig(folders(tmp_path, filmed().pictures[:2]), "chessboard:6x4:0.08")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "charuco",
        "charuco:5x7",
        "charuco:5x7:0.04",
        "charuco:5:0.04:0.03",
        "charuco:5x7:0.03:0.04",
        "charuco:5x7:40:30",
        "charuco:5x7:0.04:nan",
        "charuco:5x7:0.04:0.03:9X9_1",
        "charuco:30x30:0.04:0.03:4X4_50",
        "chessboard:9x6",
        "chessboard:9x6:0.02:0.01",
        "chessboard:1x1:0.02",
        "circles:4x4:0.02",
    ],
)
def test_bad_board_descriptions(text):
    with pytest.raises(InputError, match="board"):
        parse_board(text)


# -------------------------------------------------------------------------------------------------- the board


@pytest.mark.parametrize("text", ["charuco:5x7:0.04:0.03", "chessboard:9x6:0.025"])
def test_contract_printed_board_is_found_and_has_its_size(text, tmp_path):
    board = parse_board(text)
    width, height = print_board(board, tmp_path / "board.png")
    across, down = board.squares
    assert (width, height) == pytest.approx(
        ((across + 1) * board.square, (down + 1) * board.square), rel=1e-3
    )
    data = (tmp_path / "board.png").read_bytes()
    at = data.index(b"pHYs") + 4
    dots = int.from_bytes(data[at : at + 4], "big")
    page = cv2.imread(str(tmp_path / "board.png"), cv2.IMREAD_GRAYSCALE)
    assert page.shape[1] / dots == pytest.approx(width)
    corners = find_board(cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), board)
    assert np.isfinite(corners).all()
    apart = np.linalg.norm(corners[1] - corners[0]) * 2 / dots
    assert apart == pytest.approx(board.square, rel=0.01)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_convention_chessboard_has_one_first_corner_however_it_is_turned(quarters):
    page = draw_board(CHESS, 60)
    corners = find_board(np.ascontiguousarray(np.rot90(page, quarters)), CHESS)
    upright = find_board(page, CHESS)
    h, w = page.shape
    for _ in range(quarters):  # a quarter turn to the left: (x, y) -> (y, w - 1 - x)
        upright = np.stack([upright[:, 1], w - 1 - upright[:, 0]], -1)
        h, w = w, h
    np.testing.assert_allclose(corners, upright, atol=0.5)


def test_command_line(tmp_path, capsys):
    sources = folders(tmp_path, filmed().pictures[:2])
    out = tmp_path / "calib.toml"
    assert (
        run_command_line(["calibrate", *sources, "--board", str(CHARUCO), "--floor", "0", "-o", str(out)])
        == 0
    )
    assert "error, px" in capsys.readouterr().out
    again = tmp_path / "calib.json"
    assert run_command_line(["calibrate", "--from", str(out), "-o", str(again)]) == 0
    np.testing.assert_allclose(load_rig(again)["cam2"].R, load_rig(out)["cam2"].R, atol=1e-12)
    page = tmp_path / "board.png"
    assert run_command_line(["calibrate", "--board", "chessboard:9x6:0.02", "--make-board", str(page)]) == 0
    assert page.exists()
    assert run_command_line(["calibrate", *sources]) == 2
    assert "--board" in capsys.readouterr().err
    assert (
        run_command_line(["calibrate", *sources, "--board", str(CHARUCO), "-o", str(tmp_path / "c.yaml")])
        == 1
    )
