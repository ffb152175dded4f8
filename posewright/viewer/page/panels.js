// The words of the page: facts, warnings, downloads, details, history.

function fillFacts(clip) {
  const { data } = clip, camera = data.camera;
  const facts = clip.frames > 1 ? [["Length", `${clip.duration.toFixed(1)} s`], ["Frames", `${clip.frames} at ${trimmed(data.fps)} fps`]] : [];
  facts.push(["People", String(clip.people)]);
  if (camera) facts.push(["Field of view", `${trimmed(fieldOfView(camera), 0)}° ${camera.focalSource}`]);
  document.getElementById("facts").append(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** Horizontal field of view, degrees. */
function fieldOfView(camera) {
  return (2 * Math.atan(camera.imageSize[0] / 2 / camera.K[0][0]) * 180) / Math.PI;
}

const trimmed = (value, digits = 2) => String(Number(value.toFixed(digits)));

/** Warnings in the order of the clip, those about all of it last; those with a time lead there. */
function fillWarnings(clip, seek) {
  const { warnings, startTime } = clip.data, list = document.getElementById("warnings");
  document.getElementById("warnings-count").textContent = warnings.length ? String(warnings.length) : "";
  if (!warnings.length) {
    list.append(element("li", { class: "none" }, "None: nothing looked doubtful."));
    return;
  }
  for (const { text, time } of [...warnings].sort((a, b) => (a.time ?? Infinity) - (b.time ?? Infinity) || 0)) {
    const row = element(time === null ? "div" : "button", { class: "row" });
    row.append(element("span", { class: "stamp" }, time === null ? "whole clip" : clockText(time)), element("span", {}, text));
    if (time !== null) {
      row.setAttribute("aria-label", `Go to ${clockText(time)}: ${text}`);
      row.addEventListener("click", () => seek(time - startTime));
    }
    list.append(element("li", {}, row));
  }
}

/** Offer the exports: embedded files as blobs with their own bytes, the others as links beside the page. */
function fillExports(exports) {
  if (!exports.length) return;
  document.getElementById("exports-card").hidden = false;
  exports.forEach((item, number) => {
    const link = element("a", { href: item.href, download: item.name },
      element("span", { class: "suffix" }, item.name.includes(".") ? item.name.split(".").pop().toUpperCase() : "FILE"),
      element("span", { class: "name" }, item.name), element("span", { class: "size" }, sizeText(item.size)));
    if (item.embedded) link.href = URL.createObjectURL(new Blob([takeBlock(`export-${number}`)], { type: "application/octet-stream" }));
    document.getElementById("exports").append(element("li", {}, link));
  });
  const note = document.getElementById("exports-note");
  note.hidden = exports.every((item) => item.embedded);
  note.textContent = "These files are too large to travel inside the report: keep them beside it.";
}

function sizeText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999500) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function fillDetails(clip) {
  const { data } = clip, camera = data.camera, rows = [];
  if (data.source) rows.push(["Source", data.source]);
  if (clip.frames > 1) {
    rows.push(["Part of the clip", `${clockText(data.startTime)} to ${clockText(data.startTime + clip.duration)}`]);
    rows.push(["Frame rate", `${trimmed(data.fps, 3)} per second`]);
  }
  rows.push(["3D joints", `${data.skeleton.joints.length} (${data.skeleton.name})`]);
  if (data.keypoints) rows.push(["2D keypoints", `${data.keypoints.skeleton.joints.length} (${data.keypoints.skeleton.name})`]);
  if (camera) {
    rows.push(["Picture", `${camera.imageSize[0]} × ${camera.imageSize[1]} pixels`]);
    rows.push(["Focal length", `${trimmed(camera.K[0][0], 0)} pixels, ${camera.focalSource}`]);
    rows.push(["Camera", clip.arrays.camera.length > 12 ? "moving" : "standing still"]);
    if (camera.distorted) rows.push(["Lens", `distorted (${camera.model}); the camera's view here is without distortion`]);
  } else rows.push(["Camera", "unknown"]);
  document.getElementById("details").append(...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  const history = data.history.length ? data.history : ["Nothing is recorded."];
  document.getElementById("history").append(...history.map((line) => element("li", {}, element("span", {}, line))));
}
