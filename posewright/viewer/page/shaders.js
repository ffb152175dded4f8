// GLSL ES 3.00. One capsule mesh is drawn many times; each instance carries its ends, radii, wide axis and colour.

const CAPSULE_GEOMETRY = `
layout(location = 0) in vec4 mesh;      // unit sphere direction (x wide axis, y, z along the part), end (0 or 1)
layout(location = 1) in vec4 partA;     // end a, radius
layout(location = 2) in vec4 partB;     // end b, radius
layout(location = 3) in vec4 partX;     // wide axis (unit), its stretch
layout(location = 4) in vec4 partColour;
layout(location = 5) in vec2 partExtra; // stretch of the third axis, lit (1) or flat (0)

void place(out vec3 position, out vec3 normal) {
  vec3 span = partB.xyz - partA.xyz;
  float length_ = length(span);
  vec3 x = partX.xyz;
  vec3 z = length_ > 1e-5 ? span / length_ : normalize(cross(x, abs(x.z) < 0.9 ? vec3(0, 0, 1) : vec3(1, 0, 0)));
  x = normalize(x - z * dot(x, z));
  vec3 y = cross(z, x);
  float radius = mix(partA.w, partB.w, mesh.w);
  vec3 local = mesh.xyz * vec3(partX.w, partExtra.x, 1.0) * radius;
  position = mix(partA.xyz, partB.xyz, mesh.w) + x * local.x + y * local.y + z * local.z;
  float slope = length_ > 1e-5 ? (partA.w - partB.w) / length_ : 0.0;
  vec3 n = vec3(mesh.xy / vec2(partX.w, partExtra.x), mesh.z + slope * (1.0 - abs(mesh.z)));
  normal = normalize(x * n.x + y * n.y + z * n.z);
}`;

const CAPSULE_VERTEX = `#version 300 es
precision highp float;
${CAPSULE_GEOMETRY}
uniform mat4 viewProjection;
uniform mat4 lightProjection;
out vec3 worldPosition;
out vec3 worldNormal;
out vec4 shadowPosition;
out vec4 colour;
out float lit;
void main() {
  place(worldPosition, worldNormal);
  shadowPosition = lightProjection * vec4(worldPosition + worldNormal * 0.012, 1.0);
  colour = partColour;
  lit = partExtra.y;
  gl_Position = viewProjection * vec4(worldPosition, 1.0);
}`;

const SHADOW_LOOKUP = `
uniform highp sampler2DShadow shadowMap;
uniform float shadowTexel;
float shadowAt(vec4 place, float bias) {
  vec3 p = place.xyz / place.w * 0.5 + 0.5;
  if (any(lessThan(p, vec3(0.0))) || any(greaterThan(p, vec3(1.0)))) return 1.0;
  float sum = 0.0;
  for (int i = -1; i <= 1; i++)
    for (int j = -1; j <= 1; j++)
      sum += texture(shadowMap, vec3(p.xy + vec2(i, j) * shadowTexel * 1.4, p.z - bias));
  return sum / 9.0;
}`;

const CAPSULE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 worldPosition;
in vec3 worldNormal;
in vec4 shadowPosition;
in vec4 colour;
in float lit;
uniform vec3 eye;
uniform vec3 toLight;
out vec4 outColour;
${SHADOW_LOOKUP}
void main() {
  vec3 n = normalize(worldNormal);
  vec3 toEye = normalize(eye - worldPosition);
  float key = max(dot(n, toLight), 0.0) * shadowAt(shadowPosition, 0.0015);
  float sky = 0.5 + 0.5 * n.z;
  float head = max(dot(n, toEye), 0.0);
  float rim = pow(1.0 - head, 3.0) * (0.35 + 0.65 * sky);
  float gloss = pow(max(dot(n, normalize(toLight + toEye)), 0.0), 36.0) * step(0.01, key);
  vec3 base = pow(colour.rgb, vec3(2.2));
  vec3 light = base * (mix(vec3(0.22, 0.21, 0.22), vec3(0.40, 0.43, 0.48), sky) + 0.80 * key + 0.26 * head * head);
  light += vec3(0.10) * gloss + base * rim * 0.45 + vec3(0.05) * rim;
  vec3 shaded = pow(light, vec3(1.0 / 2.2));
  outColour = vec4(mix(colour.rgb, shaded, lit), 1.0) * colour.a;
  outColour.a = colour.a;
}`;

const SHADOW_VERTEX = `#version 300 es
precision highp float;
${CAPSULE_GEOMETRY}
uniform mat4 viewProjection;
void main() {
  vec3 position, normal;
  place(position, normal);
  gl_Position = viewProjection * vec4(position, 1.0);
}`;

// A skinned body: each vertex follows four joints, whose 3x4 matrices are the rows of a texture.
const BODY_GEOMETRY = `
layout(location = 0) in vec3 vertex;
layout(location = 1) in vec3 vertexNormal;
layout(location = 2) in vec4 joints;
layout(location = 3) in vec4 weights;
uniform highp sampler2D matrices; // 3 texels (rows) across, a joint per line

void place(out vec3 position, out vec3 normal) {
  vec4 rows[3];
  for (int row = 0; row < 3; row++) {
    rows[row] = vec4(0.0);
    for (int k = 0; k < 4; k++) rows[row] += weights[k] * texelFetch(matrices, ivec2(row, int(joints[k] + 0.5)), 0);
    rows[row] /= weights.x + weights.y + weights.z + weights.w;
  }
  vec4 v = vec4(vertex, 1.0);
  position = vec3(dot(rows[0], v), dot(rows[1], v), dot(rows[2], v));
  normal = normalize(vec3(dot(rows[0].xyz, vertexNormal), dot(rows[1].xyz, vertexNormal), dot(rows[2].xyz, vertexNormal)));
}`;

const BODY_VERTEX = `#version 300 es
precision highp float;
${BODY_GEOMETRY}
uniform mat4 viewProjection;
uniform mat4 lightProjection;
uniform vec3 bodyColour;
out vec3 worldPosition;
out vec3 worldNormal;
out vec4 shadowPosition;
out vec4 colour;
out float lit;
void main() {
  place(worldPosition, worldNormal);
  shadowPosition = lightProjection * vec4(worldPosition + worldNormal * 0.012, 1.0);
  float left = clamp(vertex.x / 0.25, -1.0, 1.0); // left limbs lighter, right ones darker, as the mannequin's
  colour = vec4(left < 0.0 ? bodyColour * (1.0 + 0.16 * left) : mix(bodyColour, vec3(1.0), 0.1 * left), 1.0);
  lit = 1.0;
  gl_Position = viewProjection * vec4(worldPosition, 1.0);
}`;

const BODY_SHADOW_VERTEX = `#version 300 es
precision highp float;
${BODY_GEOMETRY}
uniform mat4 viewProjection;
void main() {
  vec3 position, normal;
  place(position, normal);
  gl_Position = viewProjection * vec4(position, 1.0);
}`;

const SHADOW_FRAGMENT = `#version 300 es
precision mediump float;
void main() {}`;

const FLOOR_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 corner;
uniform mat4 viewProjection;
uniform mat4 lightProjection;
uniform vec2 centre;
uniform float reach;
out vec2 place;
out vec4 shadowPosition;
void main() {
  place = centre + corner * reach;
  vec4 world = vec4(place, 0.0, 1.0);
  shadowPosition = lightProjection * world;
  gl_Position = viewProjection * world;
}`;

const FLOOR_FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
in vec4 shadowPosition;
uniform vec2 centre;
uniform float reach;
uniform vec3 floorColour;
uniform vec3 gridColour;
out vec4 outColour;
${SHADOW_LOOKUP}
// Lines every \`spacing\` metres, about a pixel and a half wide, fading where they would run together.
float lines(float spacing) {
  vec2 cell = place / spacing;
  vec2 width = fwidth(cell);
  vec2 away = abs(fract(cell - 0.5) - 0.5) / max(width, vec2(1e-6));
  float line = 1.0 - min(min(away.x, away.y) / 1.2, 1.0);
  return line * (1.0 - smoothstep(0.15, 0.5, max(width.x, width.y)));
}
void main() {
  float fade = 1.0 - smoothstep(0.25, 1.0, length(place - centre) / reach);
  float line = max(lines(1.0) * 0.75, lines(0.25) * 0.2);
  vec3 colour = mix(floorColour, gridColour, line);
  colour *= mix(0.62, 1.0, shadowAt(shadowPosition, 0.002));
  outColour = vec4(colour, 1.0) * fade;
}`;

const BACKDROP_VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec2 corner;
uniform vec4 rectangle; // left, bottom, right, top in clip coordinates
out vec2 texel;
void main() {
  texel = vec2(corner.x * 0.5 + 0.5, 0.5 - corner.y * 0.5);
  gl_Position = vec4(mix(rectangle.xy, rectangle.zw, corner * 0.5 + 0.5), 0.9999, 1.0);
}`;

const BACKDROP_FRAGMENT = `#version 300 es
precision mediump float;
in vec2 texel;
uniform sampler2D picture;
uniform float strength;
out vec4 outColour;
void main() { outColour = vec4(texture(picture, texel).rgb, 1.0) * strength; }`;
