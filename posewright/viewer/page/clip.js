// The motion at any instant: positions between frames, who is there, where the filming camera stood.

class MotionClip {
  /** @param data the report's JSON document; @param arrays unpacked arrays by name */
  constructor(data, arrays) {
    this.data = data;
    this.arrays = arrays;
    this.frames = data.frames;
    this.people = data.people.length;
    this.joints = data.skeleton.joints.length;
    this.confidence = this.meanConfidence();
    this.present = this.findPresent();
  }

  /** Seconds from the first frame to the end of the last one. */
  get duration() {
    return this.frames / this.data.fps;
  }

  /** Fractional frame at `time` (seconds from the first frame). */
  frameAt(time) {
    return clamp(time * this.data.fps, 0, this.frames - 1);
  }

  /** (P, T) bytes: 1 where a person has at least one joint. */
  findPresent() {
    const present = Array.from({ length: this.people }, () => new Uint8Array(this.frames));
    const { joints } = this.arrays;
    for (let t = 0; t < this.frames; t++) {
      for (let p = 0; p < this.people; p++) {
        const start = (t * this.people + p) * this.joints * 3;
        for (let i = 0; i < this.joints * 3; i += 3) {
          if (joints[start + i] === joints[start + i]) { present[p][t] = 1; break; }
        }
      }
    }
    return present;
  }

  /** (P, T) mean over a person's joints, NaN where the person is absent. */
  meanConfidence() {
    const { confidence, joints } = this.arrays;
    return Array.from({ length: this.people }, (_, p) => {
      const mean = new Float32Array(this.frames);
      for (let t = 0; t < this.frames; t++) {
        const start = (t * this.people + p) * this.joints;
        let sum = 0, seen = 0;
        for (let j = start; j < start + this.joints; j++) {
          sum += confidence[j];
          if (joints[3 * j] === joints[3 * j]) seen++;
        }
        mean[t] = seen ? sum / this.joints : NaN;
      }
      return mean;
    });
  }

  /** Joints of one person at a fractional frame: array of [x, y, z], or null where missing. */
  pose(person, frame, source = "joints") {
    const values = this.arrays[source];
    const before = Math.floor(frame), after = Math.min(before + 1, this.frames - 1), part = frame - before;
    const stride = this.people * this.joints * 3, start = person * this.joints * 3;
    const a = before * stride + start, b = after * stride + start;
    const pose = new Array(this.joints);
    for (let j = 0; j < this.joints; j++) pose[j] = between(values, a + 3 * j, b + 3 * j, part);
    return pose;
  }

  /** Rows [R | t] of the filming camera at a fractional frame (3x4, row-major), or null. */
  cameraPose(frame) {
    const poses = this.arrays.camera;
    if (!poses) return null;
    const index = Math.min(Math.round(frame), poses.length / 12 - 1);
    return poses.subarray(index * 12, index * 12 + 12);
  }

  /** First frame in which anybody is there (0 where nobody ever is). */
  firstPresent() {
    for (let t = 0; t < this.frames; t++) if (this.present.some((row) => row[t])) return t;
    return 0;
  }
}

function between(values, a, b, part) {
  const known = values[a] === values[a], next = values[b] === values[b];
  if (known && next) {
    return [0, 1, 2].map((k) => values[a + k] + (values[b + k] - values[a + k]) * part);
  }
  const start = part < 0.5 ? a : b;
  return values[start] === values[start] ? [values[start], values[start + 1], values[start + 2]] : null;
}
