"""A sequence per split, pickled as Python 2 did: two people, moving camera, a lost detection, an invalid frame."""

import pickle

import numpy as np

from tests.datasets.trees.figures import camera, figure, picture

TO_FILE = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Z up to the file's Y up."""
ORDER = (
    *(
        "nose",
        "thorax",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
"""OpenPose's COCO-18; its neck is our thorax."""


def write(root):
    from posewright.skeletons.joint_sets import COCO_17

    for split in ("train", "validation", "test"):
        people = [figure("smpl_24", 10) + [x, 0, 0] for x in (0.0, 0.8)]
        surface = [figure("coco_17", 10) + [x, 0, 0] for x in (0.0, 0.8)]
        poses = np.tile(np.eye(4), (10, 1, 1))
        detections = np.zeros((2, 10, 3, 18))
        for frame in range(10):
            K, R, t = camera(0.1 * frame, (1080, 1920), 1960.0)
            K[:2, 2] = 540, 960
            poses[frame, :3, :3], poses[frame, :3, 3] = R @ TO_FILE.T, t
            for p, body in enumerate(surface):
                for k, name in enumerate(ORDER):
                    point = body[frame, COCO_17.index("nose" if name == "thorax" else name)]
                    detections[p, frame, :2, k] = picture(point[None], K, R, t)[0]
                    detections[p, frame, 2, k] = 0.8
        detections[1, 4] = 0
        valid = [np.ones(10, int), np.ones(10, int)]
        valid[1][6] = 0
        data = {
            "sequence": "downtown_walk_00",
            "jointPositions": [(p @ TO_FILE.T).reshape(10, 72) for p in people],
            "cam_poses": poses,
            "cam_intrinsics": K,
            "campose_valid": valid,
            "poses2d": list(detections),
            "poses": [np.zeros((10, 72))] * 2,
            "genders": ["m", "f"],
        }
        folder = root / "sequenceFiles" / split
        folder.mkdir(parents=True)
        (folder / f"downtown_{split}_00.pkl").write_bytes(pickle.dumps(data, protocol=2))
