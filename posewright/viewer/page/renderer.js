// WebGL 2: solid parts with a shadow map, a floor with grid, translucent parts, and the clip as a backdrop.

const FLOATS_PER_PART = 18;
const SHADOW_SIZE = 1024;

class Renderer {
  /** @throws Error where the browser has no WebGL 2 */
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL 2");
    this.gl = gl;
    this.capsules = program(gl, CAPSULE_VERTEX, CAPSULE_FRAGMENT);
    this.shadows = program(gl, SHADOW_VERTEX, SHADOW_FRAGMENT);
    this.floor = program(gl, FLOOR_VERTEX, FLOOR_FRAGMENT);
    this.bodies = program(gl, BODY_VERTEX, CAPSULE_FRAGMENT);
    this.bodyShadows = program(gl, BODY_SHADOW_VERTEX, SHADOW_FRAGMENT);
    this.backdrop = program(gl, BACKDROP_VERTEX, BACKDROP_FRAGMENT);
    this.makeCapsules();
    this.makeSquare();
    this.makeShadowMap();
    this.picture = null;
  }

  makeCapsules() {
    const gl = this.gl;
    const { vertices, triangles } = capsuleMesh(24, 7);
    this.capsuleArray = gl.createVertexArray();
    gl.bindVertexArray(this.capsuleArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, vertices, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    this.triangleCount = triangles.length;
    this.partBuffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.partBuffer);
    [4, 4, 4, 4, 2].forEach((size, i) => {
      gl.enableVertexAttribArray(i + 1);
      gl.vertexAttribPointer(i + 1, size, gl.FLOAT, false, FLOATS_PER_PART * 4, i * 16);
      gl.vertexAttribDivisor(i + 1, 1);
    });
    gl.bindVertexArray(null);
  }

  makeSquare() {
    const gl = this.gl;
    this.square = gl.createVertexArray();
    gl.bindVertexArray(this.square);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.bindVertexArray(null);
  }

  /** Keep a skinned mesh (see ClipBodies.mesh) on the graphics card; what `draw` takes as `mesh`. */
  makeBody(mesh, joints) {
    const gl = this.gl;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    [[mesh.positions, 3, gl.FLOAT], [mesh.normals, 3, gl.FLOAT], [mesh.joints, 4, gl.UNSIGNED_BYTE], [mesh.weights, 4, gl.FLOAT]].forEach(([values, size, type], i) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(i);
      gl.vertexAttribPointer(i, size, type, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.faces, gl.STATIC_DRAW);
    gl.bindVertexArray(null);
    const matrices = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, matrices);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, 3, joints);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    return { array, matrices, joints, count: mesh.faces.length };
  }

  makeShadowMap() {
    const gl = this.gl;
    this.shadowTexture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.shadowTexture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, SHADOW_SIZE, SHADOW_SIZE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    this.shadowFrame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.shadowTexture, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** Fit the drawing buffer to the canvas; true where its size changed. */
  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width === width && this.canvas.height === height) return false;
    this.canvas.width = width;
    this.canvas.height = height;
    return true;
  }

  /**
   * Draw one picture.
   * @param view {viewProjection, eye, centre, reach, picture: rectangle or null}
   * @param parts {solid, glass, ghost, extent}: instance data; solid parts cast shadows, ghosts show through everything,
   *   extent is drawn nowhere, but says where shadows fall
   * @param bodies [{mesh, matrices, colour}]: skinned meshes, which cast shadows
   * @param look {floor, grid: rgb; ground: bool; toLight: unit vector}
   */
  draw(view, parts, bodies, look) {
    const gl = this.gl;
    const light = lightProjection(parts.extent, view.centre, look.toLight);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);
    for (const body of bodies) this.pose(body);
    this.drawShadows(parts.solid, bodies, light);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (view.picture) this.drawBackdrop(view.picture);
    if (look.ground) this.drawFloor(view, light, look);
    this.drawParts(parts.solid, view, light, look.toLight);
    this.drawBodies(bodies, view, light, look.toLight);
    this.drawParts(parts.glass, view, light, look.toLight);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    this.drawParts(parts.ghost, view, light, look.toLight);
  }

  /** Send a body's matrices to its texture. */
  pose({ mesh, matrices }) {
    const gl = this.gl;
    gl.bindTexture(gl.TEXTURE_2D, mesh.matrices);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 3, mesh.joints, gl.RGBA, gl.FLOAT, matrices);
  }

  drawShadows(parts, bodies, light) {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.viewport(0, 0, SHADOW_SIZE, SHADOW_SIZE);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.shadows.program);
    gl.uniformMatrix4fv(this.shadows.at("viewProjection"), false, light);
    this.drawInstances(parts);
    gl.useProgram(this.bodyShadows.program);
    gl.uniformMatrix4fv(this.bodyShadows.at("viewProjection"), false, light);
    for (const { mesh } of bodies) this.drawMesh(this.bodyShadows, mesh);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  drawParts(parts, view, light, toLight) {
    if (!parts.length) return;
    this.shadeWith(this.capsules, view, light, toLight);
    this.drawInstances(parts);
  }

  drawBodies(bodies, view, light, toLight) {
    if (!bodies.length) return;
    this.shadeWith(this.bodies, view, light, toLight);
    for (const { mesh, colour } of bodies) {
      this.gl.uniform3fv(this.bodies.at("bodyColour"), colour);
      this.drawMesh(this.bodies, mesh);
    }
  }

  /** Make a program that shades solids the present one. */
  shadeWith(p, view, light, toLight) {
    const gl = this.gl;
    gl.useProgram(p.program);
    gl.uniformMatrix4fv(p.at("viewProjection"), false, view.viewProjection);
    gl.uniformMatrix4fv(p.at("lightProjection"), false, light);
    gl.uniform3fv(p.at("eye"), view.eye);
    gl.uniform3fv(p.at("toLight"), toLight);
    this.bindShadows(p);
  }

  drawMesh(p, mesh) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, mesh.matrices);
    gl.uniform1i(p.at("matrices"), 1);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindVertexArray(mesh.array);
    gl.drawElements(gl.TRIANGLES, mesh.count, gl.UNSIGNED_SHORT, 0);
    gl.bindVertexArray(null);
  }

  drawInstances(parts) {
    const gl = this.gl;
    gl.bindVertexArray(this.capsuleArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.partBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, parts, gl.STREAM_DRAW);
    gl.drawElementsInstanced(gl.TRIANGLES, this.triangleCount, gl.UNSIGNED_SHORT, 0, parts.length / FLOATS_PER_PART);
    gl.bindVertexArray(null);
  }

  drawFloor(view, light, look) {
    const gl = this.gl, p = this.floor;
    gl.useProgram(p.program);
    gl.uniformMatrix4fv(p.at("viewProjection"), false, view.viewProjection);
    gl.uniformMatrix4fv(p.at("lightProjection"), false, light);
    gl.uniform2f(p.at("centre"), view.centre[0], view.centre[1]);
    gl.uniform1f(p.at("reach"), view.reach);
    gl.uniform3fv(p.at("floorColour"), look.floor);
    gl.uniform3fv(p.at("gridColour"), look.grid);
    this.bindShadows(p);
    gl.disable(gl.CULL_FACE);
    gl.depthMask(false);
    gl.bindVertexArray(this.square);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.depthMask(true);
    gl.enable(gl.CULL_FACE);
  }

  bindShadows(p) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.shadowTexture);
    gl.uniform1i(p.at("shadowMap"), 0);
    gl.uniform1f(p.at("shadowTexel"), 1 / SHADOW_SIZE);
  }

  /** The clip's present picture behind the scene, in a rectangle [left, bottom, right, top] of clip coordinates. */
  drawBackdrop({ rectangle, image, strength }) {
    const gl = this.gl, p = this.backdrop;
    if (!this.picture) {
      this.picture = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, this.picture);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    }
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.picture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, image);
    gl.useProgram(p.program);
    gl.uniform1i(p.at("picture"), 0);
    gl.uniform1f(p.at("strength"), strength);
    gl.uniform4fv(p.at("rectangle"), rectangle);
    gl.depthMask(false);
    gl.bindVertexArray(this.square);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.depthMask(true);
  }
}

function program(gl, vertex, fragment) {
  const linked = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(linked, shader);
  }
  gl.linkProgram(linked);
  if (!gl.getProgramParameter(linked, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(linked));
  const places = new Map();
  const at = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(linked, name));
    return places.get(name);
  };
  return { program: linked, at };
}

/** Unit sphere cut at its equator: the lower half belongs to end 0, the upper to end 1. */
function capsuleMesh(around, rings) {
  const vertices = [], triangles = [];
  const rows = [];
  for (let i = 0; i <= rings; i++) rows.push([-Math.PI / 2 + (Math.PI / 2) * (i / rings), 0]);
  for (let i = 0; i <= rings; i++) rows.push([(Math.PI / 2) * (i / rings), 1]);
  for (const [latitude, end] of rows) {
    for (let k = 0; k <= around; k++) {
      const longitude = (2 * Math.PI * k) / around;
      vertices.push(Math.cos(latitude) * Math.cos(longitude), Math.cos(latitude) * Math.sin(longitude), Math.sin(latitude), end);
    }
  }
  for (let row = 0; row + 1 < rows.length; row++) {
    for (let k = 0; k < around; k++) {
      const a = row * (around + 1) + k, b = a + around + 1;
      triangles.push(a, a + 1, b, a + 1, b + 1, b);
    }
  }
  return { vertices: new Float32Array(vertices), triangles: new Uint16Array(triangles) };
}

/** Orthographic view of all solid parts from the light. */
function lightProjection(solid, centre, toLight) {
  let middle = [centre[0], centre[1], 0.9], half = 1.6;
  if (solid.length) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < solid.length; i += FLOATS_PER_PART) {
      for (let k = 0; k < 3; k++) {
        low[k] = Math.min(low[k], solid[i + k]);
        high[k] = Math.max(high[k], solid[i + k]);
      }
    }
    middle = mix(low, high, 0.5);
    half = clamp(0.5 * norm(subtract(high, low)) + 0.3, 1.2, 15);
  }
  const eye = add(middle, scale(toLight, 2 * half));
  return multiply(orthographic(half, 0.1, 6 * half), lookAt(eye, middle, perpendicular([0, 1, 0], toLight)));
}
