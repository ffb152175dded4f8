"""A small subject in Acclaim's files and a BVH of another."""

from posewright.datasets.procedural import walk
from posewright.io import bvh

ASF = (
    """:version 1.10
:name small
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
"""
    + "".join(
        f"""  begin
    id {n}
    name {name}
    direction {direction}
    length {length}
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-180 180) (-180 180) (-180 180)
  end
"""
        for n, (name, direction, length) in enumerate(
            (
                ("lfemur", "0.2 -0.98 0", 7.6),
                ("ltibia", "0 -1 0", 7.5),
                ("rfemur", "-0.2 -0.98 0", 7.6),
                ("rtibia", "0 -1 0", 7.5),
                ("thorax", "0 1 0", 9.0),
                ("head", "0 1 0", 4.0),
            ),
            1,
        )
    )
    + """:hierarchy
  begin
    root lfemur rfemur thorax
    lfemur ltibia
    rfemur rtibia
    thorax head
  end
"""
)


def write(root):
    folder = root / "subjects" / "05"
    folder.mkdir(parents=True)
    (folder / "05.asf").write_text(ASF)
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(8):
        lines += [f"{frame + 1}", f"root 0 15 {0.1 * frame} 0 0 0"]
        lines += [f"{b} {frame} 0 0" for b in ("lfemur", "ltibia", "rfemur", "rtibia", "thorax", "head")]
    (folder / "05_13.amc").write_text("\n".join(lines) + "\n")
    for name in ("10_03", "60_01"):
        bvh.write(walk(0.2, 120.0), root / "bvh" / f"{name}.bvh", t_pose=True)
