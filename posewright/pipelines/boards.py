"""Calibration boards: described in one line, drawn for printing, found in pictures.

Convention: board axes, metres: x to the right of the printed page, y up the page, z out of its face; the origin is
the board's top left corner (ChArUco) or the top left inner corner (chessboard). A board on the floor thus has Z up.
"""

import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from posewright.core.errors import InputError
from posewright.core.files import atomic_path

EXAMPLES = (
    "charuco:5x7:0.04:0.03 (squares, square and marker in metres) or chessboard:9x6:0.025 (inner corners)"
)
LEAST_CORNERS = 6
_LARGEST_PICTURE = 6000
_DOTS_PER_METRE = 11811
"""300 dots per inch."""


@dataclass(frozen=True)
class Board:
    """A flat board with corners that can be told apart."""

    kind: str
    """`charuco` or `chessboard`."""
    columns: int
    """Squares (ChArUco) or inner corners (chessboard) across the page."""
    rows: int
    square: float
    """Side of a square, metres."""
    marker: float = 0.0
    """Side of a marker, metres."""
    dictionary: str = "4X4_50"
    """Marker dictionary, in OpenCV's words without DICT_."""

    def __str__(self) -> str:
        size = f"{self.columns}x{self.rows}:{self.square:g}"
        return (
            f"charuco:{size}:{self.marker:g}:{self.dictionary}"
            if self.kind == "charuco"
            else f"chessboard:{size}"
        )

    @property
    def squares(self) -> tuple[int, int]:
        """(across, down)."""
        more = 0 if self.kind == "charuco" else 1
        return self.columns + more, self.rows + more

    @property
    def corners(self) -> np.ndarray:
        """Inner corners (C, 3), board axes, row by row from the top."""
        across, down = (n - 1 for n in self.squares)
        x, y = np.meshgrid(np.arange(across, dtype=float), np.arange(down, dtype=float))
        first = 1.0 if self.kind == "charuco" else 0.0
        grid = np.stack([x + first, -y - first, np.zeros_like(x)], -1)
        return grid.reshape(-1, 3) * self.square

    @property
    def turns_unseen(self) -> bool:
        """True for chessboards that look the same upside down."""
        return self.kind == "chessboard" and (self.columns + self.rows) % 2 == 0

    @cached_property
    def _charuco(self) -> cv2.aruco.CharucoBoard:
        known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, known)

    @cached_property
    def _detector(self) -> cv2.aruco.CharucoDetector:
        return cv2.aruco.CharucoDetector(self._charuco)


def parse_board(text: str) -> Board:
    """Read a description such as `charuco:5x7:0.04:0.03` or `chessboard:9x6:0.025`.

    A ChArUco board may name its markers at the end (`:5X5_100`); without, they are `4X4_50`, or `4X4_1000` if it needs
    more than 50.

    Raises:
        InputError: anything else, or sizes no board has.
    """
    kind, *fields = text.strip().split(":")
    kind = {"checkerboard": "chessboard", "chess": "chessboard"}.get(kind.lower(), kind.lower())
    try:
        columns, rows = (int(n) for n in fields[0].lower().split("x"))
        sizes = [float(f) for f in fields[1 : 3 if kind == "charuco" else 2]]
    except (IndexError, ValueError):
        raise InputError(f"board {text!r}: expected {EXAMPLES}") from None
    named = fields[1 + len(sizes) :]
    wanted = {"charuco": 2, "chessboard": 1}.get(kind)
    if len(sizes) != wanted or len(named) > (kind == "charuco"):
        raise InputError(f"board {text!r}: expected {EXAMPLES}")
    if min(columns, rows) < 3 or max(columns, rows) > 60:
        raise InputError(f"board {text!r}: 3 to 60 rows and columns are possible")
    if not all(0.001 <= s <= 1 for s in sizes) or (wanted == 2 and sizes[1] >= sizes[0]):
        raise InputError(
            f"board {text!r}: squares of 0.001 to 1 metre, markers smaller than squares, such as {EXAMPLES}"
        )
    if kind == "chessboard":
        return Board(kind, columns, rows, sizes[0])
    return Board(kind, columns, rows, *sizes, dictionary=_dictionary(text, named, columns * rows // 2))


def _dictionary(text: str, named: list[str], markers: int) -> str:
    """Dictionary by name, or the smallest 4X4 one with enough markers."""
    name = named[0].upper().removeprefix("DICT_") if named else ("4X4_50" if markers <= 50 else "4X4_1000")
    known = [n.removeprefix("DICT_") for n in dir(cv2.aruco) if n.startswith("DICT_")]
    if name not in known:
        raise InputError(f"board {text!r}: no marker dictionary {name}; OpenCV has {', '.join(known)}")
    held = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{name}")).bytesList)
    if held < markers:
        raise InputError(f"board {text!r}: it needs {markers} markers, {name} has {held}")
    return name


# --------------------------------------------------------------------------------------------------- finding


def find_board(gray: np.ndarray, board: Board) -> np.ndarray | None:
    """Find a board's corners in a grey picture: pixels (C, 2), NaN where not seen; None without a board."""
    return _find_charuco(gray, board) if board.kind == "charuco" else _find_chessboard(gray, board)


def _find_charuco(gray: np.ndarray, board: Board) -> np.ndarray | None:
    corners, which, _, _ = board._detector.detectBoard(gray)
    if which is None or corners is None or len(which) < LEAST_CORNERS:
        return None
    which = np.ravel(which).astype(int)
    across = board.columns - 1
    if len({*(which % across)}) < 2 or len({*(which // across)}) < 2:  # on a line: no pose
        return None
    found = np.full((len(board.corners), 2), np.nan)
    found[which] = np.reshape(corners, (-1, 2))
    return found


def _find_chessboard(gray: np.ndarray, board: Board) -> np.ndarray | None:
    size = (board.columns, board.rows)
    ok, corners = cv2.findChessboardCornersSB(
        gray, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    )
    if not ok or corners is None:
        return None
    grid = np.reshape(corners, (board.rows, board.columns, 2)).astype(float)
    right, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    if right[0] * down[1] - right[1] * down[0] < 0:  # mirrored: no printed board is
        grid = grid[:, ::-1]
    if not board.turns_unseen and not _dark_corner(gray, grid):
        grid = grid[::-1, ::-1]
    return grid.reshape(-1, 2)


def _dark_corner(gray: np.ndarray, grid: np.ndarray) -> bool:
    """True if the squares on the diagonal of the first corner are the dark ones: the board's top left is dark."""
    same, other = grid[:2, :2].mean((0, 1)), grid[:2, 1:3].mean((0, 1))
    dark = [float(cv2.getRectSubPix(gray, (3, 3), tuple(map(float, p))).mean()) for p in (same, other)]
    return dark[0] < dark[1]


def sharpness(gray: np.ndarray, corners: np.ndarray) -> float:
    """How sharp the picture is on the board: energy of its Laplacian over its variance there."""
    seen = corners[np.isfinite(corners).all(-1)]
    left, top = np.maximum(np.floor(seen.min(0)).astype(int), 0)
    right, bottom = np.ceil(seen.max(0)).astype(int) + 1
    part = gray[top:bottom, left:right]
    return float(cv2.Laplacian(part, cv2.CV_64F).var() / max(float(part.var()), 1.0))


# --------------------------------------------------------------------------------------------------- printing


def draw_board(board: Board, square_pixels: int, margin: int | None = None) -> np.ndarray:
    """Picture of a board, grey uint8, with a white margin (default: half a square)."""
    margin = square_pixels // 2 if margin is None else margin
    across, down = board.squares
    size = (across * square_pixels, down * square_pixels)
    if board.kind == "charuco":
        page = board._charuco.generateImage(size)
    else:
        parity = np.add.outer(np.arange(down), np.arange(across)) % 2
        page = np.kron(parity, np.ones((square_pixels, square_pixels))).astype(np.uint8) * 255
    return np.pad(page, margin, constant_values=255)


def print_board(board: Board, path: str | Path) -> tuple[float, float]:
    """Write a board as PNG that prints at its true size (at 100 %, 300 dots per inch or less).

    Returns:
        Width and height of the page with its margin, metres.

    Raises:
        InputError: not a `.png`.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: boards are written as .png")
    longest = (max(board.squares) + 1) * board.square
    square_pixels = max(
        16, round(min(_DOTS_PER_METRE * board.square, _LARGEST_PICTURE * board.square / longest))
    )
    square_pixels -= square_pixels % 2
    page = draw_board(board, square_pixels)
    dots = round(square_pixels / board.square)
    ok, encoded = cv2.imencode(".png", page)
    if not ok:
        raise InputError(f"{path}: a picture of {page.shape[1]}x{page.shape[0]} could not be written")
    with atomic_path(path) as temporary:
        temporary.write_bytes(_with_resolution(encoded.tobytes(), dots))
    return page.shape[1] / dots, page.shape[0] / dots


def _with_resolution(png: bytes, dots_per_metre: int) -> bytes:
    """Insert the chunk that says how large a PNG prints (pHYs, PNG specification 11.3.4.3)."""
    after_header = 8 + 25
    body = b"pHYs" + struct.pack(">IIB", dots_per_metre, dots_per_metre, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    return png[:after_header] + chunk + png[after_header:]
