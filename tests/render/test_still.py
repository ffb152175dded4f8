"""People before surroundings that stand still: the same pictures as everything rendered together."""

import numpy as np
import pytest
import torch

from posewright.geometry.cameras import look_at
from posewright.render.primitives import sphere
from posewright.render.rooms import occluder, open_air, room, with_meshes
from posewright.render.scene import render
from posewright.render.still import Still
from posewright.structures.cameras import Camera

PLACES = {
    "room": room(3),
    "room with a box": with_meshes(room(2), [occluder(1, (0.5, -0.8))]),
    "open air": open_air(4),
}


def camera(distortion=(0.0,) * 5, size=(96, 72)):
    R, t = (
        a.numpy()
        for a in look_at(torch.tensor([0.3, -3.5, 1.6]).double(), torch.tensor([0, 0, 0.8]).double())
    )
    K = np.array([[80, 0, (size[0] - 1) / 2], [0, 80, (size[1] - 1) / 2], [0, 0, 1.0]])
    return Camera(K, size, R, t, np.array(distortion))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("supersample", [1, 2])
def test_law_equal_to_rendering_everything_together(place, supersample):
    people = [sphere((0.1, 0, 0.6), 0.5), sphere((-0.9, 0.5, 1.0), 0.4)]
    still = Still(PLACES[place], camera(), supersample=supersample)
    together = render(with_meshes(PLACES[place], people), camera(), supersample=supersample).color.astype(int)
    off = np.abs(together - still.with_people(people)).max(-1)
    assert off.mean() < 0.2
    assert (off > 12).mean() < 0.002  # edges of shadows: a map of the people alone is finer
    assert (np.abs(together - still.picture).max(-1) > 30).mean() > 0.05  # the people are in it


def test_law_equal_through_a_distorted_lens():
    people = [sphere((0.1, 0, 0.6), 0.5)]
    bent = camera((-0.15, 0.03, 0.001, 0, 0))
    still = Still(PLACES["room"], bent)
    together = render(with_meshes(PLACES["room"], people), bent).color.astype(int)
    assert np.abs(together - still.with_people(people)).max(-1).mean() < 0.2


def test_law_nobody_changes_nothing():
    still = Still(PLACES["room"], camera(), supersample=2)
    assert (still.with_people([]) == still.picture).all()
    behind = still.with_people([sphere((0.3, -8, 1.0), 0.2)])
    assert (behind == still.picture).all()


def test_law_coarse_surroundings_differ_at_edges_only():
    people = [sphere((0.1, 0, 0.6), 0.5)]
    fine = Still(PLACES["room"], camera(), supersample=2).with_people(people).astype(int)
    coarse = Still(PLACES["room"], camera(), supersample=2, background=1).with_people(people).astype(int)
    assert np.median(np.abs(fine - coarse)) <= 2
    assert (np.abs(fine - coarse).max(-1) > 40).mean() < 0.05


def test_depth_is_that_of_the_place():
    still = Still(PLACES["open air"], camera(), lit=False)
    depth = render(PLACES["open air"], camera()).buffers.depth()
    np.testing.assert_allclose(still.depth, np.nan_to_num(depth, nan=np.inf))
