"""The pipeline with detectors made here; the real one runs in `benchmarks/demo_tracking.py`."""

from dataclasses import dataclass

import numpy as np
import pytest

from posewright.models.detection.detector import PersonPose, Region
from posewright.models.detection.following import MODES, OneEuro, PeopleFollower
from posewright.models.detection.windows import search_windows
from posewright.pipelines.journal import Journal
from posewright.pipelines.people import track_people
from posewright.skeletons.joint_sets import COCO_17

SIZE = (640, 360)
SHAPE = np.array(
    [[0, 8], [3, 5], [-3, 5], [6, 7], [-6, 7], [14, 30], [-14, 30], [20, 60], [-20, 60], [22, 88], [-22, 88]]
    + [[9, 90], [-9, 90], [10, 135], [-10, 135], [11, 175], [-11, 175]],
    float,
)
COLOURS = {1: (200, 30, 30), 2: (30, 30, 200), 3: (30, 200, 30)}


@dataclass
class Scene:
    """Painted people: who -> (T, 2) path of the head, NaN where not there; later people hide earlier ones."""

    paths: dict

    def __len__(self):
        return len(next(iter(self.paths.values())))

    def frames(self, fps=30.0):
        for t in range(len(self)):
            image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
            image[0, 0] = t // 256, t % 256, 0
            for who, path in self.paths.items():
                if np.isfinite(path[t]).all():
                    x, y = path[t].astype(int)
                    image[max(y + 28, 1) : y + 95, max(x - 15, 0) : max(x + 16, 0)] = COLOURS[who]
            yield t, t / fps, image

    def visible(self, t):
        """Return who is seen: the torso is not hidden by somebody painted later and not out of the picture."""
        out = {}
        for who, path in self.paths.items():
            if np.isfinite(path[t]).all() and 0 <= path[t][0] < SIZE[0]:
                out = {w: p for w, p in out.items() if abs(p[0] - path[t][0]) > 20}
                out[who] = path[t]
        return out


class FrameDetector:
    """Finds everybody visible in each frame; reads the frame's number from its first pixel."""

    skeleton = COCO_17

    def __init__(self, scene, swap_frames=(), skip=()):
        self.scene, self.swap_frames, self.skip = scene, set(swap_frames), set(skip)

    def detect(self, image):
        t = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        if t in self.skip:
            return []
        return [self.pose(t, head) for head in self.scene.visible(t).values()]

    def pose(self, t, head):
        noise = np.random.default_rng(t).normal(0, 0.4, (17, 2))
        points = SHAPE + head + noise
        if t in self.swap_frames:
            points = points[COCO_17.mirror]
        return PersonPose(points.astype(np.float32), np.full(17, 0.9, np.float32), 0.95)


class TopDownDetector(FrameDetector):
    """The same by regions, and counts the calls."""

    def __init__(self, scene, **options):
        super().__init__(scene, **options)
        self.searches = self.estimates = 0

    def region(self, head):
        return Region((float(head[0]), float(head[1] + 90)), 220.0)

    def search(self, image, window=None):
        self.searches += 1
        t = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        x0, _, x1, _ = window or (0, 0, *SIZE)
        return [self.region(h) for h in self.scene.visible(t).values() if x0 <= h[0] < x1]

    def estimate(self, image, regions):
        self.estimates += len(regions)
        t = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        out = []
        for region in regions:
            heads = [h for h in self.scene.visible(t).values() if abs(h[0] - region.center[0]) < 60]
            nearest = min(heads, key=lambda h: abs(h[0] - region.center[0])) if heads else None
            out.append(None if nearest is None or t in self.skip else self.pose(t, nearest))
        return out

    def next_region(self, pose):
        return self.region(pose.keypoints[0] - SHAPE[0])


def line(x0, x1, T=90, y=100.0):
    return np.stack([np.linspace(x0, x1, T), np.full(T, y)], -1)


def run(scene, detector, fps=30.0, **options):
    return track_people(scene.frames(fps), image_size=SIZE, fps=fps, detector=detector, **options)


def present(found):
    return (found.keypoints.confidence > 0).any(-1)


DETECTORS = [FrameDetector, TopDownDetector]


@pytest.mark.parametrize("make", DETECTORS)
def test_two_people_are_followed_through_a_crossing(make):
    scene = Scene({1: line(60, 560), 2: line(580, 80, y=104.0)})
    found = run(scene, make(scene), person_order="first-seen")
    keypoints = found.keypoints
    assert keypoints.num_people == 2
    assert present(found).mean() > 0.9
    for person in range(2):
        x = keypoints.positions[:, person, 0, 0]
        direction = np.sign(x[-1] - x[0])
        assert (np.diff(x[np.isfinite(x)]) * direction > -5).all(), "nobody turns back where they cross"


@pytest.mark.parametrize("make", DETECTORS)
def test_nobody_in_the_picture(make):
    scene = Scene({1: np.full((20, 2), np.nan)})
    found = run(scene, make(scene), with_world=True)
    assert found.keypoints.positions.shape == (20, 0, 17, 2)
    assert found.warnings == ("nobody was found in the picture",)
    assert found.world.shape[1] == 0


@pytest.mark.parametrize("make", DETECTORS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips(make, frames):
    scene = Scene({1: line(300, 302, frames)})
    assert run(scene, make(scene)).keypoints.num_people == 1


@pytest.mark.parametrize("make", DETECTORS)
def test_person_in_three_frames_of_many_is_nobody(make):
    path = np.full((60, 2), np.nan)
    path[20:23] = [300, 100]
    scene = Scene({1: path})
    assert run(scene, make(scene)).keypoints.num_people == 0


@pytest.mark.parametrize("make", DETECTORS)
def test_leaving_and_returning_is_one_person(make):
    path = np.concatenate([line(400, 640, 60), np.full((60, 2), np.nan), line(630, 400, 60)])
    scene = Scene({1: line(100, 120, 180), 2: path})
    found = run(scene, make(scene), person_order="first-seen")
    assert found.keypoints.num_people == 2
    seen = (found.keypoints.confidence[:, 1] > 0).any(-1)
    assert seen[5:55].all()
    assert not seen[65:118].any()
    assert seen[125:175].all()


@pytest.mark.parametrize("make", DETECTORS)
def test_swaps_are_repaired_and_told(make):
    scene = Scene({1: line(300, 320)})
    found = run(scene, make(scene, swap_frames=range(40, 50)))
    truth = run(scene, make(scene)).keypoints.positions
    np.testing.assert_allclose(found.keypoints.positions, truth, atol=1e-3)
    assert found.warnings == ("person 1: left and right were exchanged in 10 frames and put right",)
    assert "arms in 10 frames" in found.keypoints.history[0]


def test_number_and_order_of_people():
    late = line(500, 505)
    late[:10] = np.nan
    scene = Scene({1: line(400, 405), 2: late, 3: line(100, 105, y=60.0)})
    ordered = {
        order: run(scene, FrameDetector(scene), person_order=order).keypoints.positions[-1, :, 0, 0].round(-1)
        for order in ("left-to-right", "first-seen")
    }
    assert ordered["left-to-right"].tolist() == [100, 400, 500]
    assert ordered["first-seen"][-1] == 500
    one = run(scene, FrameDetector(scene), people=1, person_order="left-to-right").keypoints
    assert one.num_people == 1
    assert one.positions[-1, 0, 0, 0] == pytest.approx(105, abs=5)


def test_law_pure_function_of_frames():
    scene = Scene({1: line(60, 560), 2: line(580, 80)})
    first, second = (run(scene, TopDownDetector(scene)).keypoints for _ in range(2))
    np.testing.assert_array_equal(first.positions, second.positions)


def test_frames_are_not_kept():
    scene, alive = Scene({1: line(300, 310, 50)}), []

    def frames():
        import weakref

        for frame in scene.frames():
            alive.append(weakref.ref(frame[2]))
            assert sum(ref() is not None for ref in alive) <= 3
            yield frame

    track_people(frames(), image_size=SIZE, fps=30.0, detector=TopDownDetector(scene))


def test_searching_is_spread():
    """With everybody followed, one window is searched every few frames, not all in each."""
    scene = Scene({1: line(300, 310, 80)})
    detector = TopDownDetector(scene)
    run(scene, detector, mode="balanced")
    windows = len(search_windows(SIZE, "square"))
    assert detector.searches <= windows + 80 / MODES["balanced"].search_interval + 1
    assert detector.estimates <= 80 + windows


def test_somebody_missed_for_some_frames_keeps_the_number():
    scene = Scene({1: line(200, 400, 60)})
    follower = PeopleFollower(TopDownDetector(scene, skip=range(20, 30)), SIZE, 30.0)
    numbers = [[f.number for f in follower(image)] for _, _, image in scene.frames()]
    assert numbers == [[0]] * 20 + [[]] * 10 + [[0]] * 30


def test_progress_and_times():
    scene, done = Scene({1: line(300, 310, 12)}), []
    found = run(scene, FrameDetector(scene), fps=25.0, on_progress=done.append)
    assert done == list(range(1, 13))
    np.testing.assert_allclose(found.keypoints.times, np.arange(12) / 25)


@pytest.mark.parametrize(
    "options", [{"people": 0}, {"people": "two"}, {"person_order": "tallest"}, {"mode": "turbo"}]
)
def test_unknown_options_are_refused(options):
    scene = Scene({1: line(300, 310, 3)})
    with pytest.raises(ValueError, match="expected"):
        run(scene, FrameDetector(scene), **options)


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="no frames"):
        track_people([], image_size=SIZE, fps=30.0, detector=FrameDetector(Scene({1: line(0, 1)})))


def test_windows_cover_the_picture():
    for size in [(1920, 1080), (1080, 1920), (500, 500), (16, 16), (3000, 200)]:
        for tiles in ("none", "square", "fine"):
            windows = np.array(search_windows(size, tiles))
            assert windows[:, :2].min() >= 0
            assert (windows[:, 2:].max(0) <= np.array(size) + 1e-6).all()
            assert tuple(windows[0]) == (0, 0, *size)
    assert len(search_windows((1768, 994), "square")) == 4
    with pytest.raises(ValueError, match="expected one of"):
        search_windows((10, 10), "hexagons")


def test_law_one_euro_smooths_rest_and_follows_motion():
    rng = np.random.default_rng(0)
    smooth = OneEuro()
    still = np.array([smooth(np.array([100 + rng.normal(0, 0.3)]), 1 / 30, 1 / 200) for _ in range(200)])
    assert still[50:].std() < 0.15
    moving = OneEuro()
    for t in range(60):
        value = moving(np.array([20.0 * t]), 1 / 30, 1 / 200)
    assert abs(value - 20.0 * 59) < 25


@pytest.mark.parametrize("make", DETECTORS)
@pytest.mark.parametrize("stop", [1, 40, 99])
def test_an_interrupted_look_goes_on_from_its_journal(make, stop, tmp_path):
    """What was found before is not looked for again, and the people are the same as without an interrupt."""
    scene = Scene({1: line(100, 300, 100), 2: line(520, 320, 100)})
    options = {"image_size": SIZE, "fps": 30.0}
    frames = list(scene.frames(30.0))
    whole = track_people(frames, detector=make(scene), **options)
    journal = Journal(tmp_path / "journal", "this clip")

    def interrupted():
        yield from frames[:stop]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_people(interrupted(), detector=make(scene), keep=journal.keep, **options)
    known = journal.read()
    assert len(known) == stop
    rest = [f for f in frames if f[1] > known[-1].seconds]
    assert len(rest) == 100 - stop
    again = track_people(rest, detector=make(scene), known=known, keep=journal.keep, **options)
    assert again.keypoints.num_people == whole.keypoints.num_people == 2
    assert np.allclose(again.keypoints.times, whole.keypoints.times)
    missed = np.isnan(again.keypoints.positions) != np.isnan(whole.keypoints.positions)
    assert missed.mean() < 0.05
    assert np.nanmax(np.abs(again.keypoints.positions - whole.keypoints.positions)) < 5
    assert len(journal.read()) == 100
    assert Journal(tmp_path / "journal", "another clip").read() == []
    journal.remove()
    assert not (tmp_path / "journal").exists()


def test_a_damaged_journal_is_cut_where_it_is_damaged(tmp_path):
    scene = Scene({1: line(100, 300, 400)})
    journal = Journal(tmp_path, "clip")
    track_people(
        scene.frames(30.0), image_size=SIZE, fps=30.0, detector=TopDownDetector(scene), keep=journal.keep
    )
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 3
    files[1].write_bytes(files[1].read_bytes()[:100])
    assert len(journal.read()) == 150
    assert [f.name for f in sorted(tmp_path.glob("*.npz"))] == [files[0].name]
