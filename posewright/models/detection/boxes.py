"""What detectors on boxes share: an image scaled into a network's input, the way back, and non-maximum suppression.

Convention: boxes are x0 y0 x1 y1, pixels; an affine map is a (2, 3) matrix from image pixels to network pixels.
"""

import cv2
import numpy as np

PAD = 114
"""Grey level of the margins, in YOLOX, RTMDet and RTMO alike."""


def letterbox_matrix(
    image_size: tuple[int, int], input_size: tuple[int, int], centred: bool = False
) -> np.ndarray:
    """Return the map that fits a whole image into a network's input without changing its aspect ratio.

    Args:
        image_size: (width, height).
        input_size: (width, height).
        centred: margins on both sides; otherwise they are on the right and at the bottom only.
    """
    size, room = np.array(image_size, np.float64), np.array(input_size, np.float64)
    scale = (room / size).min()
    shift = (room - scale * size) / 2 if centred else np.zeros(2)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def letterbox(image: np.ndarray, matrix: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W, 3) uint8 input: the image moved by `matrix` on grey."""
    return cv2.warpAffine(
        image,
        matrix,
        input_size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD,) * 3,
    )


def to_image(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map (..., 2) points of the network's input back to pixels of the image, by the inverse of `matrix`."""
    inverse = np.linalg.inv(matrix[:, :2])
    return ((points - matrix[:, 2]) @ inverse.T).astype(np.float32)


def boxes_to_image(boxes: np.ndarray, matrix: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Map (N, 4) boxes of the network's input back to the image and cut them at its edges."""
    points = to_image(boxes.reshape(-1, 2, 2), matrix)
    return points.clip(0, np.array(image_size, np.float32)).reshape(-1, 4)


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union (N,) of one box (4,) with many (N, 4); 0 for boxes without area."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    union = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1) + (box[2:] - box[:2]).clip(0).prod() - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def non_maximum_suppression(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Return the indices of the boxes to keep, best first.

    Args:
        boxes: (N, 4).
        scores: (N,).
        overlap: a box goes if its intersection over union with a better kept one is larger than this.
    """
    kept, left = [], np.argsort(-scores, kind="stable")
    while len(left):
        kept.append(left[0])
        left = left[1:][overlaps(boxes[left[0]], boxes[left[1:]]) <= overlap]
    return np.array(kept, np.int64)
