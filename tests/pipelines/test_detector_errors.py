"""Factors on expected errors for a detector's keypoints."""

import numpy as np

from posewright.evaluate.uncertainty import GROUPS
from posewright.pipelines.detector_errors import PELVIS, detector_scale, factors_of
from posewright.pipelines.lift_errors import TrackErrors, default_errors, joint_matrix
from posewright.skeletons.joint_sets import BODY_26, COCO_17, MEDIAPIPE_33


def test_contract_every_joint_has_the_factor_of_its_group():
    measured = {group: 2.0 + i for i, group in enumerate(GROUPS)} | {PELVIS: 9.0}
    scale = factors_of(measured)
    assert scale.shape == (27,)
    assert scale[0] == 1.0  # relative to itself the pelvis has no error
    assert scale[-1] == 9.0
    for i, names in enumerate(GROUPS.values()):
        assert set(scale[[BODY_26.index(n) for n in names]].tolist()) == {2.0 + i}
    assert sum(map(len, GROUPS.values())) == 25


def test_contract_other_joint_sets_have_none_and_an_unknown_focal_length_none_for_the_place():
    assert detector_scale(COCO_17, True) is None
    known, unknown = (detector_scale(MEDIAPIPE_33, flag) for flag in (True, False))
    assert known.min() >= 1.0
    assert unknown[-1] == 1.0 < known[-1]
    np.testing.assert_array_equal(known[:-1], unknown[:-1])


def test_law_factors_scale_standard_deviations():
    model = default_errors()
    features, centre = model.mean.numpy()[None], np.zeros((1, 2), np.float32)
    root = np.array([[0.0, 0.0, 3.0]], np.float32)
    scale = np.linspace(1, 3, 27).astype(np.float32)
    plain, scaled = (TrackErrors(model, features, centre, root, 50.0, s) for s in (None, scale))
    matrix = np.eye(27)
    covariances = [t.gaussians(slice(None)).covariance(matrix)[0] for t in (plain, scaled)]
    np.testing.assert_allclose(
        covariances[1], covariances[0] * scale[:, None, None] ** 2, rtol=1e-4, atol=1e-9
    )
    assert joint_matrix(BODY_26, False).shape == (26, 27)
