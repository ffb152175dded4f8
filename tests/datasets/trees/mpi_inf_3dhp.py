"""Training sequences of two cameras at 25 and 50 Hz; test sequences indoors and outdoors with invalid frames."""

import numpy as np

from tests.datasets.trees.figures import boxed, camera, figure, picture


def _pair(azimuth, size, frames=10):
    joints = figure("mpi_17", frames)
    K, R, t = camera(azimuth, size, 1500.0)
    return {"data_2d": picture(joints, K, R, t), "data_3d": 1000 * (joints @ R.T + t)}


def write(root):
    train = {}
    for s, fps in ((1, 25), (2, 50)):
        train[f"S{s} Seq1"] = [{str(c): _pair(0.5 * c, (2048, 2048), 9 + s) for c in (0, 4)}, fps]
    valid = np.ones(10)
    valid[3] = 0
    test = {
        name: _pair(0.2, size) | {"valid": valid}
        for name, size in (("TS1", (2048, 2048)), ("TS5", (1920, 1080)))
    }
    np.savez_compressed(root / "data_train_3dhp.npz", data=boxed(train))
    np.savez_compressed(root / "data_test_3dhp.npz", data=boxed(test))
