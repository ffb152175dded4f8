import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from posewright.core.errors import InputError
from posewright.evaluate.lifters import save_lifter
from posewright.pipelines.export_onnx import export, export_lifter
from tests.models.lifting.small import SMALL
from tests.pipelines.test_lift_zoo import small_lifter


@pytest.mark.parametrize("special", SMALL)
def test_contract_every_lifter_runs_in_onnx_runtime(special, tmp_path):
    lifter = small_lifter(special)
    done = export(lifter, tmp_path / "model.onnx")
    assert done.difference <= 1e-4
    x = 0.5 * np.random.default_rng(1).normal(size=done.input_shape).astype(np.float32)
    (joints,) = onnxruntime.InferenceSession(str(done.path)).run(None, {"keypoints": x})
    assert joints.shape == done.output_shape
    expected = lifter.network(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(joints, expected, atol=1e-4)


def test_the_file_says_its_conventions(tmp_path):
    lifter = small_lifter("lifting/motionbert")
    save_lifter(lifter, tmp_path / "w.safetensors")
    done = export_lifter(lifter.name, tmp_path / "model.onnx", weights=tmp_path / "w.safetensors", frames=5)
    assert done.input_shape == (1, 5, 17, 3)
    said = {p.key: p.value for p in onnx.load(str(done.path)).metadata_props}
    assert said["posewright_model"] == "lifting/motionbert"
    assert said["joint_units"] == "image"
    assert json.loads(said["keypoint_joints"])[0] == "pelvis"
    assert json.loads(said["frames_per_second"]) == 50


def test_windows_that_do_not_fit_and_missing_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="window of 9"):
        export(small_lifter("lifting/mixste"), tmp_path / "m.onnx", frames=8)
    with pytest.raises(InputError, match="comes without weights"):
        export_lifter("lifting/mixste", tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_the_default_lifter_is_exported(tmp_path):
    done = export_lifter("lifting/raylift", tmp_path / "raylift.onnx", frames=16)
    assert done.input_shape == (1, 16, 26, 3)
    assert done.difference <= 1e-4
