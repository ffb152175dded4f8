// A skeleton as solid parts: tapered capsules with elliptic cross-section, sized for a person 1.75 m tall.
//
// A part runs from point `a` (radius `ra`) to `b` (radius `rb`); `x` is the direction of its wide axis, along which
// the radius is multiplied by `sx` (and by `sy` at right angles to both).

const NEEDED = ["pelvis", "left_hip", "right_hip", "left_knee", "left_ankle", "thorax", "left_shoulder", "right_shoulder"];

/** Parts of one limb segment between two joints. */
const LIMBS = [
  ["hip", "knee", 0.079, 0.054], ["knee", "ankle", 0.055, 0.037],
  ["shoulder", "elbow", 0.047, 0.037], ["elbow", "wrist", 0.038, 0.026],
];

/** Build the function pose -> parts for a skeleton: a mannequin where its joints allow, else one capsule per bone. */
function mannequin(skeleton) {
  const index = new Map(skeleton.joints.map((name, i) => [name, i]));
  const size = { value: null };
  if (!NEEDED.every((name) => index.has(name))) return (pose) => stickParts(skeleton, pose);
  return (pose) => {
    const at = (name) => (index.has(name) ? pose[index.get(name)] : null);
    const s = bodySize(at, size);
    return [...torso(at, s), ...head(at, s), ...side(at, s, "left"), ...side(at, s, "right")];
  };
}

/** Size relative to a leg (hip to ankle) of 0.85 m; kept from the last pose in which it could be measured. */
function bodySize(at, size) {
  const [hip, knee, ankle] = [at("left_hip"), at("left_knee"), at("left_ankle")];
  if (hip && knee && ankle) {
    const leg = norm(subtract(hip, knee)) + norm(subtract(knee, ankle));
    size.value = clamp(leg / 0.85, 0.3, 2);
  }
  return size.value ?? 1;
}

function part(a, b, ra, rb, options = {}) {
  return { a, b, ra, rb, x: options.x ?? null, sx: options.sx ?? 1, sy: options.sy ?? 1, side: options.side ?? "" };
}

function torso(at, s) {
  const [pelvis, thorax, left, right] = [at("pelvis"), at("thorax"), at("left_shoulder"), at("right_shoulder")];
  const [leftHip, rightHip] = [at("left_hip"), at("right_hip")];
  if (!pelvis || !thorax || !left || !right || !leftHip || !rightHip) return [];
  const spine = at("spine") ?? mix(pelvis, thorax, 0.45);
  const hips = subtract(leftHip, rightHip), shoulders = subtract(left, right);
  const waist = mix(pelvis, spine, 0.75), top = mix(spine, thorax, 0.72);
  const low = mix(pelvis, mix(leftHip, rightHip, 0.5), 0.6);
  const middle = normalize(add(normalize(hips), normalize(shoulders)));
  return [
    part(mix(low, leftHip, 0.5), mix(low, rightHip, 0.5), 0.092 * s, 0.092 * s, { x: subtract(thorax, pelvis), sx: 1.0, sy: 1.05 }),
    part(pelvis, waist, 0.09 * s, 0.084 * s, { x: middle, sx: 1.4, sy: 1.04 }),
    part(waist, top, 0.084 * s, 0.108 * s, { x: shoulders, sx: 1.36, sy: 1.02 }),
    part(mix(top, left, 0.52), mix(top, right, 0.52), 0.074 * s, 0.074 * s, { x: subtract(thorax, spine), sx: 1.1, sy: 1.2 }),
  ];
}

function head(at, s) {
  const [thorax, neck] = [at("thorax"), at("neck")];
  const crown = at("head");
  if (!thorax || !neck || !crown) return [];
  const rise = subtract(crown, neck), height = norm(rise) || 0.2;
  const ears = at("left_ear") && at("right_ear") ? subtract(at("left_ear"), at("right_ear")) : subtract(at("left_shoulder"), at("right_shoulder"));
  const r = height * 0.4;
  const parts = [
    part(thorax, mix(neck, crown, 0.25), 0.056 * s, 0.05 * s),
    part(mix(neck, crown, 0.38), mix(neck, crown, 0.58), r * 0.86, r * 1.05, { x: ears, sx: 0.84, sy: 1.02 }),
  ];
  const nose = at("nose");
  if (nose) parts.push(part(mix(neck, crown, 0.5), mix(nose, mix(neck, crown, 0.5), 0.04), 0.03 * s, 0.015 * s));
  return parts;
}

function side(at, s, name) {
  const parts = [];
  const joint = (short) => at(`${name}_${short}`);
  for (const [from, to, ra, rb] of LIMBS) {
    if (joint(from) && joint(to)) parts.push(part(joint(from), joint(to), ra * s, rb * s, { side: name }));
  }
  const [knee, ankle] = [joint("knee"), joint("ankle")];
  if (at("thorax") && joint("shoulder")) {
    parts.push(part(mix(at("thorax"), joint("shoulder"), 0.35), joint("shoulder"), 0.054 * s, 0.056 * s, { side: name }));
  }
  if (knee && ankle) parts.push(...calf(knee, ankle, joint("toe"), s, name));
  if (ankle && joint("toe")) parts.push(...foot(ankle, joint("heel"), joint("toe"), s, name));
  if (joint("elbow") && joint("wrist")) parts.push(...hand(joint("elbow"), joint("wrist"), s, name));
  return parts;
}

/** The muscle behind the shin, away from the toes. */
function calf(knee, ankle, toe, s, name) {
  if (!toe) return [];
  const down = normalize(subtract(ankle, knee));
  const back = scale(perpendicular(subtract(ankle, toe), down), 0.016 * s);
  return [part(add(mix(knee, ankle, 0.18), back), add(mix(knee, ankle, 0.48), back), 0.049 * s, 0.044 * s, { side: name })];
}

/** Heel and toe are points on the skin, so the solid lies inside them; its sole stays at their height. */
function foot(ankle, heel, toe, s, name) {
  const back = heel ?? mix(ankle, toe, -0.25);
  const along = normalize(subtract(toe, back));
  const up = perpendicular(subtract(ankle, back), along);
  const across = cross(along, up);
  const r = 0.036 * s;
  const sole = (point, radius) => add(point, scale(up, radius * 0.75));
  const a = sole(add(back, scale(along, r * 0.8)), r), b = sole(add(toe, scale(along, -r * 0.7)), r * 0.72);
  return [
    part(a, b, r, r * 0.78, { x: across, sx: 1.12, sy: 0.85, side: name }),
    part(ankle, mix(a, b, 0.62), 0.037 * s, 0.028 * s, { x: across, sx: 1.05, sy: 0.9, side: name }),
  ];
}

/** No hand joints in the rig: the hand goes on along the forearm. */
function hand(elbow, wrist, s, name) {
  const along = normalize(subtract(wrist, elbow));
  const at = (distance) => add(wrist, scale(along, distance * s));
  return [part(at(0.03), at(0.105), 0.031 * s, 0.024 * s, { x: [0, 0, 1], sx: 1.15, sy: 0.62, side: name })];
}

/** Any other joint set: a capsule per bone, slimmer where the bone is short. */
function stickParts(skeleton, pose) {
  const parts = [];
  skeleton.parents.forEach((parent, joint) => {
    if (parent < 0 || !pose[parent] || !pose[joint]) return;
    const length = norm(subtract(pose[joint], pose[parent]));
    const r = clamp(length * 0.11, 0.008, 0.045);
    const name = skeleton.joints[joint];
    parts.push(part(pose[parent], pose[joint], r, r * 0.8, { side: /^l(eft)?_|^left/i.test(name) ? "left" : /^r(ight)?_|^right/i.test(name) ? "right" : "" }));
  });
  return parts;
}

/** Thin rods along the bones and beads at the joints: the joints as they were before cleaning. */
function ghostParts(skeleton, pose) {
  const rods = [];
  skeleton.parents.forEach((parent, joint) => {
    if (!pose[joint]) return;
    rods.push(part(pose[joint], pose[joint], 0.016, 0.016));
    if (parent >= 0 && pose[parent]) rods.push(part(pose[parent], pose[joint], 0.007, 0.007));
  });
  return rods;
}
