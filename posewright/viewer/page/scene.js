// What stands in the 3D view at an instant: people, their raw joints, trails, foot contacts, the filming camera.

const TRAIL_SECONDS = 1.4;
const TRAIL_SEGMENTS = 36;
const SPREAD_LEFT_OUT = /clavicle|ear|nose|heel|spine|neck|hip|shoulder|thorax/;
const TRAIL_JOINTS = ["left_wrist", "right_wrist", "left_ankle", "right_ankle", "pelvis"];

class Scene {
  constructor(canvas, clip, palette, changed) {
    this.clip = clip;
    this.palette = palette;
    this.shown = clip.data.people.map(() => true);
    this.layers = { ground: true, body: true, trails: false, raw: false, contacts: true, spread: true, camera: true };
    this.follow = -1;
    this.viewpoint = new Viewpoint(canvas, changed);
    this.renderer = new Renderer(canvas);
    this.bodies = clip.data.body ? new ClipBodies(clip) : null;
    this.meshes = this.bodies?.meshes.map((mesh) => this.renderer.makeBody(mesh, this.bodies.joints));
    this.makeParts = clip.data.people.map(() => mannequin(clip.data.skeleton));
    this.trailJoints = TRAIL_JOINTS.map((name) => clip.data.skeleton.joints.indexOf(name)).filter((j) => j >= 0);
    this.bounds = this.findBounds();
    this.following = null;
    const from = this.cameraAzimuth(0) - 0.7; // beside the filming camera, so that the side that is looked at is lit
    this.toLight = normalize([0.62 * Math.cos(from), 0.62 * Math.sin(from), 1]);
  }

  /** Draw the instant `time` (seconds from the first frame); `image`: the clip's picture, for the camera's view. */
  draw(time, image) {
    const frame = this.clip.frameAt(time), view = this.viewpoint;
    this.keepUp(frame);
    if (view.camera) view.camera.pose = this.clip.cameraPose(frame);
    const solid = [], glass = [], ghost = [], extent = [], bodies = [];
    this.shown.forEach((visible, p) => visible && this.addPerson(p, frame, { solid, glass, ghost, extent }, bodies));
    if (this.layers.camera && !view.camera) this.addCamera(frame, glass);
    const backdrop = view.camera && image
      ? { rectangle: view.pictureRectangle(), image, strength: 0.75 } : null;
    this.renderer.resize();
    this.renderer.draw(
      { viewProjection: view.viewProjection(), eye: view.eye, centre: this.bounds.centre, reach: this.reach(), picture: backdrop },
      { solid: new Float32Array(solid), glass: new Float32Array(glass), ghost: new Float32Array(ghost), extent },
      bodies,
      { floor: this.palette.floor, grid: this.palette.grid, ground: this.layers.ground && !backdrop, toLight: this.toLight },
    );
  }

  reach() {
    return Math.max(14, this.bounds.radius * 4);
  }

  addPerson(p, frame, { solid, glass, ghost, extent }, bodies) {
    const colour = this.palette.people[p % this.palette.people.length];
    const pose = this.clip.pose(p, frame);
    const matrices = this.layers.body ? this.bodies?.matrices(p, frame) : null;
    if (matrices) bodies.push({ mesh: this.meshes[p], matrices, colour });
    for (const item of this.makeParts[p](pose)) {
      pushPart(extent, item, colour, 1, 1);
      if (!matrices) pushPart(solid, item, shade(colour, item.side), 1, 1);
    }
    if (this.layers.contacts) this.addContacts(p, frame, pose, glass);
    if (this.layers.spread && this.clip.data.uncertainty) this.addSpread(p, frame, pose, colour, glass);
    if (this.layers.trails) this.addTrails(p, frame, colour, glass);
    if (this.layers.raw && this.clip.arrays.joints_raw) {
      const raw = this.clip.pose(p, frame, "joints_raw");
      for (const item of ghostParts(this.clip.data.skeleton, raw)) pushPart(ghost, item, this.palette.ghost, 0.9, 0);
    }
  }

  /** A flat disc under each foot that is on the floor. */
  addContacts(p, frame, pose, glass) {
    const { contacts } = this.clip.arrays, names = this.clip.data.skeleton.joints;
    if (!contacts) return;
    ["left", "right"].forEach((sideName, i) => {
      if (!contacts[(Math.round(frame) * this.clip.people + p) * 2 + i]) return;
      const at = (joint) => pose[names.indexOf(`${sideName}_${joint}`)];
      const ankle = at("ankle"), heel = at("heel") ?? ankle, toe = at("toe") ?? ankle;
      if (!heel || !toe) return;
      const disc = part([...heel.slice(0, 2), 0.004], [...toe.slice(0, 2), 0.004], 0.085, 0.085, { x: [0, 0, 1], sx: 0.02, sy: 1 });
      pushPart(glass, disc, this.palette.contact, 0.55, 0);
    });
  }

  /** A translucent region around head, elbows, hands, knees and feet; longest along the ray, where one camera sees least. */
  addSpread(p, frame, pose, colour, glass) {
    const { spread, spread_radius: radii } = this.clip.arrays;
    const start = (Math.round(frame) * this.clip.people + p) * this.clip.joints;
    this.clip.data.skeleton.joints.forEach((name, j) => {
      const radius = radii[start + j];
      if (!pose[j] || !(radius > 0) || SPREAD_LEFT_OUT.test(name)) return;
      const axis = [0, 1, 2].map((k) => spread[3 * (start + j) + k]);
      const reach = norm(axis), half = scale(axis, Math.max(reach - radius, 0) / (reach || 1));
      pushPart(glass, part(subtract(pose[j], half), add(pose[j], half), radius, radius), colour, 0.1, 0);
    });
  }

  addTrails(p, frame, colour, glass) {
    const length = Math.min(frame, TRAIL_SECONDS * this.clip.data.fps);
    const segments = Math.ceil(Math.min(TRAIL_SEGMENTS, length));
    let last = null;
    for (let i = 0; i <= segments; i++) {
      const pose = this.clip.pose(p, frame - length * (1 - i / segments));
      const strength = i / (segments || 1);
      for (const joint of last ? this.trailJoints : []) {
        if (!last[joint] || !pose[joint]) continue;
        const r = 0.002 + 0.009 * strength;
        pushPart(glass, part(last[joint], pose[joint], r, r), mix(this.palette.floor, colour, 0.15 + 0.75 * strength), 1, 0);
      }
      last = pose;
    }
  }

  /** The filming camera as the edges of its picture 0.45 m in front of it. */
  addCamera(frame, glass) {
    const pose = this.clip.cameraPose(frame), camera = this.clip.data.camera;
    if (!pose) return;
    const [width, height] = camera.imageSize, K = camera.K, depth = 0.45;
    const centre = cameraCentre(pose);
    const corner = (u, v) => {
      const ray = [(u - K[0][2]) / K[0][0], (v - K[1][2]) / K[1][1], 1];
      const inCamera = scale(ray, depth);
      return add(centre, [0, 1, 2].map((k) => pose[k] * inCamera[0] + pose[4 + k] * inCamera[1] + pose[8 + k] * inCamera[2]));
    };
    const corners = [corner(-0.5, -0.5), corner(width - 0.5, -0.5), corner(width - 0.5, height - 0.5), corner(-0.5, height - 0.5)];
    const line = (a, b, r) => pushPart(glass, part(a, b, r, r), this.palette.camera, 0.95, 0);
    corners.forEach((c, i) => {
      line(centre, c, 0.006);
      line(c, corners[(i + 1) % 4], 0.006);
    });
    line(mix(corners[0], corners[1], 0.42), mix(corners[0], corners[1], 0.58), 0.016);
    pushPart(glass, part(centre, centre, 0.035, 0.035), this.palette.camera, 0.95, 1);
  }

  /** Middle and radius of everywhere that people are, the farthest 2 % left out. */
  findBounds() {
    const { clip } = this, points = [];
    const step = Math.max(1, Math.floor((clip.frames * clip.people) / 3000));
    const values = clip.arrays.joints, stride = clip.joints * 3;
    for (let i = 0; i < clip.frames * clip.people; i += step) {
      const j = i * stride;
      if (values[j] === values[j]) points.push([values[j], values[j + 1], values[j + 2]]);
    }
    if (!points.length) return { centre: [0, 0, 0.9], radius: 1.6 };
    const span = [0, 1, 2].map((k) => {
      const sorted = points.map((point) => point[k]).sort((a, b) => a - b);
      return [sorted[Math.floor(sorted.length * 0.01)], sorted[Math.ceil(sorted.length * 0.99) - 1]];
    });
    const centre = span.map(([low, high]) => (low + high) / 2);
    const radius = 0.5 * Math.hypot(...span.map(([low, high]) => high - low)) + 1.0;
    return { centre: [centre[0], centre[1], Math.max(centre[2], 0.2)], radius };
  }

  /** Move the target with the person who is followed. */
  keepUp(frame) {
    if (this.follow < 0) { this.following = null; return; }
    const place = this.placeOf(this.follow, frame);
    if (!place) return;
    if (this.following) this.viewpoint.target = add(this.viewpoint.target, subtract(place, this.following));
    this.following = place;
  }

  /** Where a person stands, at a steady height; null where absent. */
  placeOf(p, frame) {
    const pose = this.clip.pose(p, frame);
    const known = pose.filter(Boolean);
    if (!known.length) return null;
    const centre = scale(known.reduce(add, [0, 0, 0]), 1 / known.length);
    return [centre[0], centre[1], 0.9];
  }

  /** Middle and radius of the person who is followed, else of everybody shown at this frame; null where nobody is. */
  gathering(frame) {
    const who = this.follow >= 0 ? [this.follow] : this.shown.flatMap((visible, p) => (visible ? [p] : []));
    const joints = who.flatMap((p) => this.clip.pose(p, frame).filter(Boolean));
    if (!joints.length) return null;
    const span = [0, 1, 2].map((k) => joints.map((joint) => joint[k])).map((v) => [Math.min(...v), Math.max(...v)]);
    const centre = span.map(([low, high]) => (low + high) / 2);
    return { centre, radius: 0.5 * Math.hypot(...span.map(([low, high]) => high - low)) + 0.2 };
  }

  /** Person who is followed, or else the first one shown at this frame; -1 where nobody is. */
  someone(frame) {
    if (this.follow >= 0) return this.follow;
    return this.shown.findIndex((visible, p) => visible && this.clip.present[p]?.[Math.round(frame)]);
  }

  /** Direction (azimuth) in which a person faces, from the hips; null where unknown. */
  facing(p, frame) {
    const names = this.clip.data.skeleton.joints, pose = this.clip.pose(p, frame);
    const left = pose[names.indexOf("left_hip")], right = pose[names.indexOf("right_hip")];
    if (!left || !right) return null;
    const across = subtract(left, right);
    return Math.atan2(-across[0], across[1]);
  }

  /** Go to a named point of view: reset, front, side, top or camera. */
  stand(name, time) {
    const frame = this.clip.frameAt(time), p = this.someone(frame);
    if (name === "camera") return this.standAtCamera(frame);
    const facing = (p >= 0 ? this.facing(p, frame) : null) ?? -Math.PI / 2;
    const near = name === "reset" ? null : this.gathering(frame);
    const { centre: target, radius } = near ?? this.bounds;
    this.following = null;
    if (name === "front") this.viewpoint.frame(target, radius, facing, 0.08);
    else if (name === "side") this.viewpoint.frame(target, radius, facing + Math.PI / 2, 0.08);
    else if (name === "top") this.viewpoint.frame(target, near ? radius + 0.4 : radius, this.cameraAzimuth(frame), Math.PI / 2);
    else this.viewpoint.frame(target, Math.min(radius * 0.85, 9), this.cameraAzimuth(frame) + 0.5, 0.26);
  }

  standAtCamera(frame) {
    const pose = this.clip.cameraPose(frame), camera = this.clip.data.camera;
    if (!pose) return;
    this.viewpoint.target = this.placeOf(Math.max(this.someone(frame), 0), frame) ?? this.bounds.centre;
    this.viewpoint.camera = { pose, K: camera.K, imageSize: camera.imageSize };
  }

  /** Side from which the clip was filmed; in front of the rest pose where there was no camera. */
  cameraAzimuth(frame) {
    const pose = this.clip.cameraPose(frame);
    if (!pose) return -Math.PI / 2;
    const away = subtract(cameraCentre(pose), this.bounds.centre);
    return Math.atan2(away[1], away[0]);
  }
}

/** The person's own right side a little darker, so that left and right can be told apart. */
function shade(colour, side) {
  return side === "right" ? colour.map((c) => c * 0.84) : side === "left" ? colour.map((c) => c + (1 - c) * 0.1) : colour;
}

function pushPart(list, item, colour, alpha, lit) {
  const x = item.x ? normalize(item.x) : perpendicular([0, 0, 1], normalize(subtract(item.b, item.a)));
  list.push(...item.a, item.ra, ...item.b, item.rb, ...x, item.sx, ...colour, alpha, item.sy, lit);
}
