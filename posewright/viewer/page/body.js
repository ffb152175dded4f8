// Fitted bodies: skinned meshes of everybody, posed at any instant (see body_data.py for the arrays).

const FLOATS_PER_JOINT = 12; // rows of a 3x4 matrix

class ClipBodies {
  constructor(clip) {
    const { body } = clip.data, { arrays } = clip;
    this.clip = clip;
    this.parents = body.parents;
    this.joints = body.parents.length;
    this.turning = body.turning;
    this.vertices = body.vertices;
    this.faces = Uint16Array.from(arrays.body_faces);
    this.meshes = clip.data.people.map((_, p) => this.mesh(p));
  }

  /** What of person `p` does not change: vertex attributes for the renderer. */
  mesh(p) {
    const { arrays } = this.clip, V = this.vertices;
    const of = (name, width, Type) => Type.from(arrays[name].subarray(p * V * width, (p + 1) * V * width));
    const positions = of("body_vertices", 3, Float32Array);
    return {
      positions,
      normals: meshNormals(positions, this.faces),
      joints: of("body_skin_joints", 4, Uint8Array),
      weights: of("body_skin_weights", 4, Float32Array),
      faces: this.faces,
    };
  }

  /** Rows of the matrices (J x 3 x 4) that take the mesh of a person to a fractional frame; null where missing. */
  matrices(p, frame) {
    const { clip } = this;
    const before = Math.floor(frame), after = Math.min(before + 1, clip.frames - 1), part = frame - before;
    const at = (t) => t * clip.people + p;
    const place = between(clip.arrays.body_transl, 3 * at(before), 3 * at(after), part);
    const turns = place && this.turns(at(before), at(after), part);
    return turns && this.posed(p, place, turns);
  }

  /** Quaternions wxyz of the turning joints between two frames; null where missing. */
  turns(a, b, part) {
    const quats = this.clip.arrays.body_rotations, width = this.turning.length * 4;
    const known = quats[a * width] === quats[a * width], next = quats[b * width] === quats[b * width];
    if (!known && !next) return null;
    if (!known || !next) part = known ? 0 : 1;
    const out = new Float32Array(width);
    for (let i = 0; i < width; i += 4) {
      const x = quats.subarray((part === 1 ? b : a) * width + i), y = quats.subarray((part === 0 ? a : b) * width + i);
      const sign = x[0] * y[0] + x[1] * y[1] + x[2] * y[2] + x[3] * y[3] < 0 ? -1 : 1;
      for (let k = 0; k < 4; k++) out[i + k] = (1 - part) * x[k] + part * sign * y[k];
      const length = Math.hypot(out[i], out[i + 1], out[i + 2], out[i + 3]) || 1;
      for (let k = 0; k < 4; k++) out[i + k] /= length;
    }
    return out;
  }

  /** Forward kinematics, then each joint's matrix after its bind matrix. */
  posed(p, place, turns) {
    const { arrays } = this.clip, J = this.joints;
    const world = new Float32Array(J * FLOATS_PER_JOINT), out = new Float32Array(J * FLOATS_PER_JOINT);
    const local = new Map(this.turning.map((joint, a) => [joint, turns.subarray(4 * a, 4 * a + 4)]));
    for (let j = 0; j < J; j++) {
      const start = (p * J + j) * 3, parent = this.parents[j];
      const offset = arrays.body_offsets.subarray(start, start + 3);
      const step = rigid(local.get(j), parent < 0 ? add(offset, place) : offset);
      const here = world.subarray(j * FLOATS_PER_JOINT, (j + 1) * FLOATS_PER_JOINT);
      if (parent < 0) here.set(step);
      else chain(world.subarray(parent * FLOATS_PER_JOINT), step, here);
      const bind = arrays.body_bind.subarray((p * J + j) * FLOATS_PER_JOINT);
      chain(here, bind, out.subarray(j * FLOATS_PER_JOINT, (j + 1) * FLOATS_PER_JOINT));
    }
    return out;
  }
}

/** Rows of a 3x4 matrix from a unit quaternion wxyz (undefined: no turn) and a translation. */
function rigid(quat, t) {
  if (!quat) return [1, 0, 0, t[0], 0, 1, 0, t[1], 0, 0, 1, t[2]];
  const [w, x, y, z] = quat;
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), t[0],
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), t[1],
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), t[2],
  ];
}

/** out = a b, rows of 3x4 matrices. */
function chain(a, b, out) {
  for (let row = 0; row < 12; row += 4) {
    for (let column = 0; column < 4; column++) {
      out[row + column] = a[row] * b[column] + a[row + 1] * b[4 + column] + a[row + 2] * b[8 + column] + (column === 3 ? a[row + 3] : 0);
    }
  }
}

/** Unit normals of vertices: the mean of their faces', weighted by area. */
function meshNormals(positions, faces) {
  const normals = new Float32Array(positions.length);
  const at = (i) => positions.subarray(3 * i, 3 * i + 3);
  for (let f = 0; f < faces.length; f += 3) {
    const corners = [faces[f], faces[f + 1], faces[f + 2]];
    const [a, b, c] = corners.map(at);
    const across = cross(subtract(b, a), subtract(c, a));
    for (const corner of corners) for (let k = 0; k < 3; k++) normals[3 * corner + k] += across[k];
  }
  for (let i = 0; i < normals.length; i += 3) normals.set(normalize(normals.subarray(i, i + 3)), i);
  return normals;
}
