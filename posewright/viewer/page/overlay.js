// The 2D keypoints over the clip. Fainter means less certain.

const FRAME_SLACK = 0.1; // of a frame: containers round their time stamps

class Overlay {
  constructor(canvas, clip, palette) {
    this.canvas = canvas;
    this.clip = clip;
    this.palette = palette;
    this.visible = true;
    this.skeleton = clip.data.keypoints?.skeleton;
  }

  /** Draw the keypoints of the frame shown at `time`; `shown`: which people. */
  draw(time, shown) {
    const context = sizedContext(this.canvas, this.canvas.clientWidth, this.canvas.clientHeight);
    if (!this.visible || !this.clip.arrays.keypoints) return;
    const frame = Math.floor(this.clip.frameAt(time) + FRAME_SLACK);
    const box = this.pictureBox();
    shown.forEach((visible, p) => {
      if (visible) this.drawPerson(context, box, frame, p);
    });
  }

  /** The picture inside its pane (it is fitted, not stretched). */
  pictureBox() {
    const [width, height] = this.clip.data.keypoints.imageSize;
    const s = Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
    return { s, x: (this.canvas.clientWidth - width * s) / 2, y: (this.canvas.clientHeight - height * s) / 2 };
  }

  /** Keypoints of one person as [x, y, confidence] on the canvas, null where missing. */
  keypoints(box, frame, p) {
    const { keypoints, keypoint_confidence: confidence } = this.clip.arrays;
    const count = this.skeleton.joints.length, start = (frame * this.clip.people + p) * count;
    return Array.from({ length: count }, (_, k) => {
      const x = keypoints[2 * (start + k)], y = keypoints[2 * (start + k) + 1];
      if (x !== x || y !== y) return null;
      return [(x + 0.5) * box.s + box.x, (y + 0.5) * box.s + box.y, confidence[start + k]];
    });
  }

  drawPerson(context, box, frame, p) {
    const points = this.keypoints(box, frame, p);
    const colour = this.palette.css[p % this.palette.css.length];
    const size = clamp(extent(points) / 90, 1.2, 3);
    context.lineCap = "round";
    for (const [width, style] of [[size + 2, "rgb(0 0 0 / 55%)"], [size, colour]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      this.skeleton.parents.forEach((parent, k) => this.drawBone(context, points[parent], points[k]));
    }
    points.forEach((point) => point && drawDot(context, point, size * 1.25, colour));
    context.globalAlpha = 1;
  }

  drawBone(context, a, b) {
    if (!a || !b) return;
    context.globalAlpha = opacity(Math.min(a[2], b[2]));
    context.beginPath();
    context.moveTo(a[0], a[1]);
    context.lineTo(b[0], b[1]);
    context.stroke();
  }
}

/** Height of what is seen of a person, pixels on screen. */
function extent(points) {
  const heights = points.filter(Boolean).map((point) => point[1]);
  return heights.length ? Math.max(...heights) - Math.min(...heights) : 0;
}

const opacity = (confidence) => clamp(0.1 + 0.9 * confidence, 0.1, 1);

function drawDot(context, [x, y, confidence], radius, colour) {
  context.globalAlpha = opacity(confidence);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = "#fff";
  context.fill();
  context.strokeStyle = colour;
  context.lineWidth = 1.4;
  context.stroke();
}
