"""The table of the README, from `benchmarks/results`: nothing in it is typed by hand."""

import csv
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->"
PEAK = 1000.0


def rows(name: str, **where: str) -> list[dict[str, str]]:
    """Rows of `results/<name>.csv` whose columns have these values; none if the file is not there."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [r for r in csv.DictReader(stream) if all(r.get(k) == v for k, v in where.items())]


def lifting() -> list[tuple[str, str, str]]:
    """Accuracy on motion capture of people not trained on."""
    usual = {"keypoints": "coco_feet_21", "missing_percent": "0.0", "focal": "known", "action": "all"}
    found = {r["method"]: r for r in rows("lifting_accuracy", noise_percent="1.0", **usual)}
    if "raylift" not in found:
        return []
    own = found["raylift"]
    others = ", ".join(
        f"{name} {float(r['mpjpe_mm']):.0f} / {float(r['pa_mpjpe_mm']):.0f}"
        for name, r in found.items()
        if not name.startswith("raylift")
    )
    text = f"{float(own['mpjpe_mm']):.1f} / {float(own['pa_mpjpe_mm']):.1f} mm"
    return [
        (
            "2D to 3D on people and cameras not trained on, 1 % keypoint noise: MPJPE / PA-MPJPE",
            text,
            f"same 2D: {others}",
        )
    ]


def real_video() -> list[tuple[str, str, str]]:
    """One camera against four on a real recording."""
    found = {r["method"]: r for r in rows("multiview_reference", camera="mean of 4")}
    if not {"posewright", "MediaPipe"} <= found.keys():
        return []
    own, other = found["posewright"], found["MediaPipe"]
    figures = (
        ("pa_mpjpe_mm", "PA-MPJPE", "mm"),
        ("bone_length_deviation_mm", "bone length deviation", "mm"),
        ("jitter_m_s3", "jitter", "m/s³"),
    )
    what = "real video, one camera against four triangulated"
    return [
        (f"{what}: {name}", f"{float(own[key]):.1f} {unit}", f"MediaPipe {float(other[key]):.1f} {unit}")
        for key, name, unit in figures
    ]


def rendered_video() -> list[tuple[str, str, str]]:
    """Whole runs on rendered people whose truth is known."""
    found = {r["method"]: r for r in rows("truth_means", condition="all")}
    other = next((r for name, r in found.items() if name.startswith("MediaPipe")), None)
    if "run" not in found or other is None:
        return []
    both = [f"{float(r['mpjpe_mm']):.0f} / {float(r['pa_mpjpe_mm']):.0f} mm" for r in (found["run"], other)]
    what = f"rendered video with exact truth, {found['run']['clips']} clips: MPJPE / PA-MPJPE"
    return [(f"{what} ([by condition](docs/truth.md))", both[0], f"MediaPipe {both[1]}")]


def people() -> list[tuple[str, str, str]]:
    """Following people, and agreement with MediaPipe's landmarks."""
    out = []
    demo = rows("demo_tracking", mode="balanced")
    if demo:
        share = " and ".join(f"{float(r['followed_percent']):.0f} %" for r in demo)
        switches = sum(int(r["identity_switches"]) + int(r["phantoms"]) for r in demo)
        out.append(
            (
                "demo clip: frames in which each visible person is followed",
                share,
                f"{switches} switches or phantoms",
            )
        )
    pooled = [r for r in rows("mediapipe_parity") if r["file"].startswith("all landmarks")]
    if pooled:
        median, high = float(pooled[0]["median_percent"]), float(pooled[0]["p95_percent"])
        text = f"median {median:.2f} %, 95th percentile {high:.1f} %"
        out.append(
            (
                "difference from MediaPipe Pose 0.10.21's landmarks, of body height",
                text,
                "same models, run by us",
            )
        )
    return out


def speed() -> list[tuple[str, str, str]]:
    """Whole runs as a user starts them."""
    wanted = {
        "run: one person, motion files only": "1280x720, one person, motion files",
        "run: one person, with report and overlay": "1280x720, one person, with report and overlay",
        "run: two people, motion files only": "1280x720, two people, motion files",
        "run: two people, with report and overlay": "1280x720, two people, with report and overlay",
    }
    found = {r["what"]: r for r in rows("speed")}
    return [
        (
            f"`posewright run`, {name}",
            f"{float(found[what]['frames_per_second']):.0f} frames/s",
            f"peak memory {float(found[what]['peak_memory_mb']) / PEAK:.2f} GB",
        )
        for what, name in wanted.items()
        if what in found
    ] + [
        (
            f"`posewright run`, ten minutes ({r['frames']} frames): peak memory",
            f"{float(r['peak_memory_mb']) / PEAK:.2f} GB",
            "",
        )
        for r in rows("long_clip")
    ]


def clients() -> list[tuple[str, str, str]]:
    """What other programs read back, the worst of all samples."""
    found = rows("clients")
    out = []
    for program, check, files in (
        ("blender", "joint positions", "BVH, GLB, FBX and .blend"),
        ("opensim", "marker positions", "TRC"),
    ):
        own = [r for r in found if r["client"].startswith(program) and r["check"].endswith(check)]
        if own:
            worst = max(float(r["value"]) for r in own)
            name = own[0]["client"].split("-")[0]
            out.append((f"{files} opened by {name}: largest error of a {check[:-1]}", f"{worst:.3f} mm", ""))
    return out


def table() -> str:
    """Return the Markdown table, and on which machine its figures were made."""
    lines = [*lifting(), *real_video(), *rendered_video(), *people(), *speed(), *clients()]
    body = "".join(f"| {what} | {figure} | {beside} |\n" for what, figure, beside in lines)
    machines = {r["machine"] for r in rows("speed")}
    note = f"\nSpeeds: {'; '.join(sorted(machines))}.\n" if machines else ""
    return f"| what | posewright | beside it |\n|---|---|---|\n{body}{note}"


def with_results(page: str, made: str) -> str:
    """Return a page with what stands between its marks made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{made}{rest[rest.index(END) :]}"
