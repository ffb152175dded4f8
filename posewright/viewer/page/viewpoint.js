// Where the viewer stands: an orbit around a target, or the filming camera itself. Mouse, touch and keyboard.

const FIELD_OF_VIEW = (38 * Math.PI) / 180; // of the shorter side
const NEAR = 0.05;
const FAR = 400;

class Viewpoint {
  /** @param canvas element that is dragged; @param changed called after every change by the user */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.target = [0, 0, 0.9];
    this.azimuth = -Math.PI / 2; // of the eye seen from the target; -90 degrees looks along +Y
    this.elevation = 0.2;
    this.distance = 5;
    this.camera = null; // {pose, K, imageSize} while the view is the filming camera's
    this.pointers = new Map();
    this.listen();
  }

  get eye() {
    if (this.camera) return cameraCentre(this.camera.pose);
    const flat = Math.cos(this.elevation) * this.distance;
    return add(this.target, [
      flat * Math.cos(this.azimuth), flat * Math.sin(this.azimuth), Math.sin(this.elevation) * this.distance,
    ]);
  }

  /** Stand at `azimuth`, `elevation` (radians) so that a ball of `radius` metres around `target` fits. */
  frame(target, radius, azimuth, elevation) {
    this.camera = null;
    this.target = target;
    this.azimuth = azimuth;
    this.elevation = elevation;
    const narrow = Math.min(1, this.aspect());
    this.distance = clamp(radius / Math.sin(FIELD_OF_VIEW / 2) / (narrow < 1 ? Math.max(narrow, 0.45) : 1), 0.5, 150);
  }

  aspect() {
    return (this.canvas.clientWidth || 1) / (this.canvas.clientHeight || 1);
  }

  /** World -> clip coordinates. */
  viewProjection() {
    if (this.camera) return multiply(this.cameraFrustum(), cameraView(this.camera.pose));
    const top = NEAR * Math.tan(FIELD_OF_VIEW / 2), right = top * this.aspect();
    const up = Math.abs(this.elevation) > 1.55 ? [-Math.cos(this.azimuth), -Math.sin(this.azimuth), 0] : [0, 0, 1];
    return multiply(frustum(-right, right, -top, top, NEAR, FAR), lookAt(this.eye, this.target, up));
  }

  /** Where the filmed picture lies on the canvas: scale and offset, canvas pixels. */
  pictureBox() {
    const [width, height] = this.camera.imageSize;
    const s = Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
    return { s, x: (this.canvas.clientWidth - width * s) / 2, y: (this.canvas.clientHeight - height * s) / 2 };
  }

  /** Frustum of the filming camera, widened to the canvas around its picture; the top-left pixel's centre is (0, 0). */
  cameraFrustum() {
    const { K } = this.camera, { s, x, y } = this.pictureBox();
    const column = (u) => ((u - x) / s - 0.5 - K[0][2]) / K[0][0] * NEAR;
    const row = (v) => -((v - y) / s - 0.5 - K[1][2]) / K[1][1] * NEAR;
    return frustum(column(0), column(this.canvas.clientWidth), row(this.canvas.clientHeight), row(0), NEAR, FAR);
  }

  /** The filmed picture's rectangle in clip coordinates: left, bottom, right, top. */
  pictureRectangle() {
    const { s, x, y } = this.pictureBox();
    const [width, height] = this.camera.imageSize;
    const across = (u) => (u / this.canvas.clientWidth) * 2 - 1, up = (v) => 1 - (v / this.canvas.clientHeight) * 2;
    return [across(x), up(y + height * s), across(x + width * s), up(y)];
  }

  /** Leave the filming camera: go on orbiting from where it stands. */
  detach() {
    if (!this.camera) return;
    const eye = this.eye, away = subtract(eye, this.target);
    this.camera = null;
    this.distance = Math.max(norm(away), 0.5);
    this.azimuth = Math.atan2(away[1], away[0]);
    this.elevation = Math.asin(clamp(away[2] / this.distance, -1, 1));
  }

  turn(dx, dy) {
    this.detach();
    this.azimuth -= dx * 0.008;
    this.elevation = clamp(this.elevation + dy * 0.008, -0.2, Math.PI / 2);
  }

  pan(dx, dy) {
    this.detach();
    const forward = normalize(subtract(this.target, this.eye));
    const right = [-Math.sin(this.azimuth), Math.cos(this.azimuth), 0];
    const up = cross(right, forward);
    const metres = (2 * this.distance * Math.tan(FIELD_OF_VIEW / 2)) / (this.canvas.clientHeight || 1);
    this.target = add(this.target, add(scale(right, -dx * metres), scale(up, dy * metres)));
  }

  zoom(factor) {
    this.detach();
    this.distance = clamp(this.distance * factor, 0.4, 150);
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, (event) => {
        this.pointers.delete(event.pointerId);
        canvas.classList.toggle("turning", this.pointers.size > 0);
      });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(clamp(event.deltaY, -120, 120) * 0.0016));
      this.changed();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.canvas.classList.add("turning");
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const dx = now[0] - last[0], dy = now[1] - last[1];
    if (this.pointers.size === 2) this.pinch(event.pointerId, last, now);
    else if (event.buttons & 6 || event.shiftKey) this.pan(dx, dy);
    else this.turn(dx, dy);
    this.pointers.set(event.pointerId, now);
    this.changed();
  }

  /** Two fingers: their middle moves the scene, their distance zooms. */
  pinch(id, last, now) {
    const other = [...this.pointers].find(([key]) => key !== id)[1];
    const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
    const after = Math.hypot(now[0] - other[0], now[1] - other[1]);
    if (before > 4 && after > 4) this.zoom(before / after);
    this.pan((now[0] - last[0]) / 2, (now[1] - last[1]) / 2);
  }

  key(event) {
    const turns = { ArrowLeft: [-12, 0], ArrowRight: [12, 0], ArrowUp: [0, 12], ArrowDown: [0, -12] };
    if (event.shiftKey && turns[event.key]) this.turn(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(0.9);
    else if (event.key === "-") this.zoom(1.1);
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.changed();
  }
}

/** Centre of a camera [R | t] (3x4, row-major) in the world: -R^T t. */
function cameraCentre(pose) {
  return [0, 1, 2].map((k) => -(pose[k] * pose[3] + pose[4 + k] * pose[7] + pose[8 + k] * pose[11]));
}

/** World -> eye of a camera in OpenCV axes (y down, z forward). */
function cameraView(pose) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column++) {
    out[column * 4] = pose[column];
    out[column * 4 + 1] = -pose[4 + column];
    out[column * 4 + 2] = -pose[8 + column];
  }
  out[15] = 1;
  return out;
}
