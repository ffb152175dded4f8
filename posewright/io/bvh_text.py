"""The text of a BVH file and its tree: parsing and printing, without any meaning of units or axes."""

from dataclasses import dataclass, field

import numpy as np

from posewright.io.user_files import expect

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
MAX_DEPTH = 500


@dataclass
class Node:
    """One joint of the hierarchy, or an end site."""

    name: str
    parent: int
    """Index of the parent in the list of nodes, -1 for the root."""
    offset: tuple[float, ...] = ()
    channels: list[str] = field(default_factory=list)
    is_end: bool = False


def parse(text: str) -> tuple[list[Node], np.ndarray, str]:
    """Split a BVH text into nodes (parents first), motion (T, channels) and frame time, as written."""
    head, keyword, tail = _split_motion(text)
    expect(bool(keyword), "there is no MOTION section: the file is cut off or not BVH")
    nodes = _hierarchy(head.split())
    frames, frame_time, numbers = _motion_header(tail)
    width = sum(len(node.channels) for node in nodes)
    expect(frames > 0 and width > 0, "there are no frames or no channels")
    values = np.array(numbers.split(), dtype=np.float64)
    expect(
        len(values) >= frames * width,
        f"cut off: {frames} frames of {width} channels need {frames * width} numbers, there are {len(values)}",
    )
    expect(
        len(values) == frames * width,
        f"more numbers ({len(values)}) than {frames} frames of {width} channels",
    )
    expect(bool(np.isfinite(values).all()), "some numbers are not finite")
    return nodes, values.reshape(frames, width), frame_time


def _split_motion(text: str) -> tuple[str, str, str]:
    """Split at the line that says MOTION."""
    lines = text.splitlines()
    for n, line in enumerate(lines):
        if line.strip().upper() == "MOTION":
            return "\n".join(lines[:n]), "MOTION", "\n".join(lines[n + 1 :])
    return text, "", ""


def _motion_header(text: str) -> tuple[int, str, str]:
    """Read `Frames:` and `Frame Time:`, however they are spaced; the rest are the numbers."""
    lines = text.split("\n", 4)
    found: dict[str, str] = {}
    while lines and len(found) < 2:
        key, colon, value = lines.pop(0).partition(":")
        if colon:
            found[" ".join(key.split()).lower()] = value.strip()
    expect({"frames", "frame time"} <= set(found), "after MOTION there should be Frames: and Frame Time:")
    frame_time = float(found["frame time"])
    expect(
        np.isfinite(frame_time) and frame_time > 0, f"Frame Time is {frame_time}, expected positive seconds"
    )
    return int(found["frames"]), found["frame time"], "\n".join(lines)


def _hierarchy(tokens: list[str]) -> list[Node]:
    """Walk the words of the HIERARCHY section with a stack of open joints."""
    nodes: list[Node] = []
    stack: list[int] = []
    words = iter(tokens)
    expect(next(words, "").upper() == "HIERARCHY", "the file should begin with HIERARCHY")
    for word in words:
        match word.upper():
            case "ROOT" | "JOINT" | "END":
                _open(nodes, stack, word.upper(), words)
            case "OFFSET":
                nodes[stack[-1]].offset = tuple(float(next(words)) for _ in range(3))
            case "CHANNELS":
                nodes[stack[-1]].channels = _channels([next(words) for _ in range(int(next(words)))])
            case "}":
                stack.pop()
            case _:
                expect(False, f"unexpected word {word[:40]!r} in the hierarchy")
    expect(not stack and bool(nodes), "the hierarchy is cut off: a brace is not closed")
    without = [node.name for node in nodes if len(node.offset) != 3]
    expect(not without, f"joint {without[0] if without else ''} has no OFFSET")
    return nodes


def _open(nodes: list[Node], stack: list[int], kind: str, words) -> None:
    """Begin a joint: its name runs to the opening brace and may hold spaces."""
    name = []
    for word in words:
        if word == "{":
            break
        name.append(word)
    expect(bool(stack) != (kind == "ROOT"), "there should be exactly one ROOT, and joints inside it")
    expect(kind != "ROOT" or not nodes, "the file holds several skeletons (ROOT); only one can be read")
    expect(len(stack) < MAX_DEPTH, "the hierarchy is too deep")
    parent = stack[-1] if stack else -1
    is_end = kind == "END"
    nodes.append(Node(f"{nodes[parent].name}_end" if is_end else " ".join(name), parent, is_end=is_end))
    stack.append(len(nodes) - 1)


def _channels(names: list[str]) -> list[str]:
    known = {name.lower(): name for name in CHANNELS}
    for name in names:
        expect(name.lower() in known, f"channel {name!r}, expected one of {', '.join(CHANNELS)}")
    expect(len(set(names)) == len(names), "a joint names a channel twice")
    return [known[name.lower()] for name in names]


def format_hierarchy(nodes: list[Node]) -> str:
    """Print the HIERARCHY section, depth first, tabs as in the classic files."""
    children: list[list[int]] = [[] for _ in nodes]
    for n, node in enumerate(nodes):
        if node.parent >= 0:
            children[node.parent].append(n)
    lines = ["HIERARCHY"]

    def visit(n: int, depth: int) -> None:
        node, tab = nodes[n], "\t" * depth
        kind = "End Site" if node.is_end else f"{'ROOT' if node.parent < 0 else 'JOINT'} {node.name}"
        lines.extend([tab + kind, tab + "{", tab + "\tOFFSET " + " ".join(f"{v:.6f}" for v in node.offset)])
        if node.channels:
            lines.append(f"{tab}\tCHANNELS {len(node.channels)} {' '.join(node.channels)}")
        for child in children[n]:
            visit(child, depth + 1)
        lines.append(tab + "}")

    visit(0, 0)
    return "\n".join(lines) + "\n"


def depth_first(parents: list[int]) -> list[int]:
    """Joints in the order in which a BVH file names them, and in which its channels stand."""
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(parents):
        children.setdefault(parent, []).append(joint)
    order, stack = [], list(reversed(children.get(-1, [])))
    while stack:
        joint = stack.pop()
        order.append(joint)
        stack.extend(reversed(children.get(joint, [])))
    return order
