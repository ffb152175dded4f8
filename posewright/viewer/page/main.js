// Putting the page together.

const SPEEDS = [0.25, 0.5, 1, 2];
const PRESETS = [
  ["front", "Front", "See the person from the front"],
  ["side", "Side", "See the person from their left"],
  ["top", "Top", "See the person from above"],
  ["camera", "Camera", "See through the camera that filmed, with the clip behind"],
  ["reset", "Reset", "See everyone (0)"],
];
const LAYERS = [
  ["ground", "Ground", "Floor with a line every metre"],
  ["body", "Body", "The fitted body, or else a mannequin on the joints"],
  ["trails", "Trails", "Paths of hands, feet and pelvis"],
  ["contacts", "Contacts", "Marks under feet that are on the floor"],
  ["raw", "Raw joints", "Joints before smoothing and cleaning"],
  ["spread", "Uncertainty", "Regions that hold the joints, relative to the pelvis, as often as not"],
  ["camera", "Camera", "Where the camera stood that filmed"],
];
// Told apart with every common colour vision (after Okabe and Ito), tuned for each ground.
const PEOPLE_LIGHT = ["#2a7dc0", "#d9720a", "#12906c", "#b85c93", "#5a6bd0", "#a88400", "#c2402a", "#5f6b78"];
const PEOPLE_DARK = ["#56aef0", "#f0a040", "#35c296", "#e08abb", "#98a5ff", "#dfc24a", "#f07a60", "#a9b4c2"];

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);

/** Colours of the present scheme; `into` keeps its identity, so that all who hold it see the change. */
function readPalette(into = {}) {
  const style = getComputedStyle(document.documentElement);
  const variable = (name) => style.getPropertyValue(`--${name}`).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const css = dark ? PEOPLE_DARK : PEOPLE_LIGHT;
  return Object.assign(into, {
    css,
    people: css.map(rgb),
    floor: variable("floor").split(" ").map(Number),
    grid: variable("grid").split(" ").map(Number),
    ghost: dark ? [0.92, 0.95, 1.0] : [0.16, 0.18, 0.22],
    camera: dark ? [0.62, 0.69, 0.77] : [0.35, 0.41, 0.48],
    contact: dark ? [0.98, 0.85, 0.35] : [0.95, 0.72, 0.05],
    contactCss: dark ? "#e8c65a" : "#c79a00",
    faint: variable("faint"), line: variable("line"), fill: variable("fill-strong"), warn: variable("warn"),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
  });
}

/** The clip's element: a video, an image, or null. */
function makeMedia(media) {
  if (!media) return null;
  const url = URL.createObjectURL(new Blob([takeBlock("media")], { type: media.type }));
  const node = element(media.kind === "video" ? "video" : "img", media.kind === "video" ? { playsinline: "", preload: "auto", "aria-label": "The clip" } : { alt: "The photo" });
  node.muted = true;
  node.src = url;
  document.getElementById("picture").prepend(node);
  document.getElementById("clip-pane").hidden = false;
  document.getElementById("clip-heading").textContent = media.kind === "video" ? "Clip" : "Photo";
  return node;
}

function toggleButton(label, title, pressed, act) {
  const button = element("button", { class: "toggle", "aria-pressed": String(pressed), title }, label);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    act(on);
  });
  return button;
}

/** The report: everything that the page's parts share. */
class Report {
  constructor(data, arrays) {
    this.clip = new MotionClip(data, arrays);
    this.palette = readPalette();
    this.shown = data.people.map(() => true);
    this.invalidate = this.invalidate.bind(this);
    this.media = makeMedia(data.media);
    this.video = data.media?.kind === "video" ? this.media : null;
    this.player = new Player(this.clip, this.video, this.invalidate);
    this.makeScene();
    const hooks = {
      seek: (time) => this.player.seek(time),
      toggled: () => { this.plots.draw(); this.invalidate(); },
      changed: this.invalidate,
    };
    this.timeline = new Timeline(this.clip, this.palette, this.shown, hooks);
    this.plots = new Plots(this.clip, this.palette, this.shown, hooks);
    this.overlay = new Overlay(document.getElementById("overlay"), this.clip, this.palette);
    this.fillPage(data);
    this.wire();
    this.invalidate();
  }

  makeScene() {
    const canvas = document.getElementById("view");
    try {
      this.scene = new Scene(canvas, this.clip, this.palette, () => this.userMoved());
      this.scene.shown = this.shown;
      canvas.addEventListener("webglcontextlost", () => this.noScene("The browser stopped 3D drawing. Reload the page to see it again."));
    } catch (error) {
      this.noScene(`This browser cannot draw in 3D (WebGL 2 is missing or switched off). Clip, plots and downloads still work. ${error.message === "no WebGL 2" ? "" : error.message}`);
    }
  }

  noScene(message) {
    this.scene = null;
    const fallback = document.getElementById("view-fallback");
    fallback.textContent = message;
    fallback.hidden = false;
    for (const id of ["presets", "view-toggles", "view"]) document.getElementById(id).hidden = true;
  }

  fillPage(data) {
    fillFacts(this.clip);
    fillWarnings(this.clip, (time) => this.player.seek(time));
    fillExports(data.exports);
    fillDetails(this.clip);
    document.getElementById("lane-legend").textContent = this.clip.arrays.contacts
      ? "Bars: person seen, stronger where more certain. Lines below: left, right foot on the floor. Triangles: warnings."
      : "Bars: person seen, stronger where more certain. Triangles: warnings.";
    const still = this.clip.frames < 2;
    document.getElementById("confidence-card").hidden = still || !this.clip.people;
    if (still) for (const node of document.querySelectorAll(".controls, #track, #lane-legend, #angles-card")) node.hidden = true;
    document.getElementById("transport").hidden = still && !this.clip.people;
    document.getElementById("timeline").classList.toggle("still", still);
    if (!this.clip.people) this.banner("No person was found in this clip.");
  }

  banner(text) {
    const banner = document.getElementById("banner");
    banner.textContent = text;
    banner.hidden = false;
  }

  wire() {
    this.wireView();
    this.wireTransport();
    this.wireClip();
    window.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => this.layout());
    new ResizeObserver(this.invalidate).observe(document.getElementById("stage"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      readPalette(this.palette);
      this.timeline.paintSwatches();
      this.timeline.draw();
      this.plots.draw();
      this.invalidate();
    });
    document.addEventListener("pointerdown", (event) => {
      const chooser = document.getElementById("angle-chooser");
      if (!chooser.contains(event.target)) chooser.open = false;
    });
    this.layout();
  }

  wireView() {
    if (!this.scene) return;
    const hasCamera = Boolean(this.clip.arrays.camera), hasRaw = Boolean(this.clip.arrays.joints_raw);
    this.presets = new Map(PRESETS.filter(([name]) => name !== "camera" || hasCamera).map(([name, label, title]) => {
      const button = element("button", { "aria-pressed": "false", title }, label);
      button.addEventListener("click", () => this.stand(name));
      return [name, button];
    }));
    document.getElementById("presets").append(...this.presets.values());
    const there = { body: Boolean(this.clip.data.body), raw: hasRaw, spread: Boolean(this.clip.data.uncertainty), camera: hasCamera, contacts: Boolean(this.clip.arrays.contacts), trails: this.clip.frames > 1, ground: true };
    const toggles = LAYERS.filter(([name]) => there[name]).map(([name, label, title]) => toggleButton(label, title, this.scene.layers[name], (on) => {
      this.scene.layers[name] = on;
      this.invalidate();
    }));
    document.getElementById("view-toggles").append(...toggles, ...(this.clip.frames > 1 && this.clip.people ? [this.makeFollow()] : []));
    this.scene.stand("reset", this.player.time);
  }

  makeFollow() {
    const select = element("select", { class: "pick", "aria-label": "Follow a person with the view" }, element("option", { value: "-1" }, "Follow nobody"),
      ...this.clip.data.people.map((id, p) => element("option", { value: String(p) }, `Follow person ${id}`)));
    select.addEventListener("change", () => {
      this.scene.follow = Number(select.value);
      this.scene.following = null;
      if (this.scene.follow >= 0) this.scene.stand("front", this.player.time);
      this.invalidate();
    });
    return select;
  }

  stand(name) {
    this.scene.stand(name, this.player.time);
    for (const [other, button] of this.presets) button.setAttribute("aria-pressed", String(other === name && name !== "reset"));
    this.invalidate();
  }

  userMoved() {
    for (const button of this.presets.values()) button.setAttribute("aria-pressed", "false");
    this.invalidate();
  }

  wireTransport() {
    const on = (id, act) => document.getElementById(id).addEventListener("click", act);
    on("play", () => this.player.toggle());
    on("to-start", () => this.player.seek(0));
    on("step-back", () => this.player.step(-1));
    on("step-on", () => this.player.step(1));
    on("loop", () => this.toggleLoop());
    this.speeds = SPEEDS.map((speed) => {
      const button = element("button", {}, `${speed}×`);
      button.addEventListener("click", () => this.setSpeed(speed));
      return button;
    });
    document.getElementById("speeds").append(...this.speeds);
    this.speedPick = document.getElementById("speed-pick");
    this.speedPick.append(...SPEEDS.map((speed) => element("option", { value: String(speed) }, `${speed}×`)));
    this.speedPick.addEventListener("change", () => this.setSpeed(Number(this.speedPick.value)));
    this.setSpeed(1);
  }

  setSpeed(speed) {
    this.player.setSpeed(speed);
    this.speedPick.value = String(speed);
    this.speeds.forEach((button, i) => button.setAttribute("aria-pressed", String(SPEEDS[i] === speed)));
  }

  toggleLoop() {
    this.player.loop = !this.player.loop;
    document.getElementById("loop").setAttribute("aria-pressed", String(this.player.loop));
  }

  wireClip() {
    if (!this.media) return;
    if (this.clip.arrays.keypoints) {
      document.getElementById("clip-toggles").append(toggleButton("2D overlay", "The 2D keypoints; fainter where less certain", true, (on) => {
        this.overlay.visible = on;
        this.invalidate();
      }));
    }
    for (const kind of ["loadedmetadata", "load"]) this.media.addEventListener(kind, () => this.layout());
    this.media.addEventListener("error", () => {
      if (this.video) this.player.dropVideo();
      this.media = this.video = null;
      document.getElementById("clip-pane").hidden = true;
      this.banner("This browser cannot show the clip. The 3D view plays without it.");
      this.layout();
    });
  }

  /** Give the clip as much width as its shape needs, the 3D view the rest. */
  layout() {
    const pane = document.getElementById("clip-pane"), picture = document.getElementById("picture");
    const width = this.media?.videoWidth || this.media?.naturalWidth || this.clip.data.keypoints?.imageSize[0] || 16;
    const height = this.media?.videoHeight || this.media?.naturalHeight || this.clip.data.keypoints?.imageSize[1] || 9;
    const narrow = matchMedia("(max-width: 860px)").matches;
    picture.style.aspectRatio = narrow ? `${width} / ${height}` : "auto";
    const wanted = ((document.getElementById("stage").clientHeight - 50) * width) / height;
    const room = document.getElementById("stage").clientWidth;
    pane.style.flex = narrow ? "none" : `0 0 ${Math.round(clamp(wanted, room * 0.25, room * 0.54))}px`;
    this.invalidate();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest?.("select, input")) return;
    const onButton = event.target.closest?.("button, summary, a");
    const acts = {
      " ": onButton ? null : () => this.player.toggle(),
      ArrowLeft: () => this.player.step(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.player.step(event.shiftKey ? 10 : 1),
      Home: () => this.player.seek(0),
      End: () => this.player.seek(this.player.lastTime),
      l: () => this.toggleLoop(),
      L: () => this.toggleLoop(),
      0: () => this.scene && this.stand("reset"),
    };
    if (this.clip.frames < 2 && event.key !== "0") return;
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Draw everything again at the next opportunity, once. */
  invalidate() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.render();
    });
  }

  render() {
    const { player, clip } = this, time = player.time;
    document.getElementById("transport").classList.toggle("playing", player.playing);
    const play = document.getElementById("play");
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    document.getElementById("clock-time").textContent = clockText(time + clip.data.startTime);
    document.getElementById("clock-rest").textContent = `frame ${Math.floor(time * clip.data.fps + 0.02) + 1} of ${clip.frames}`;
    this.timeline.show(time);
    this.plots.show(time);
    if (this.media) this.overlay.draw(player.overlayTime, this.shown);
    if (this.scene) this.scene.draw(time, this.readyMedia());
  }

  /** The clip's element once it has a picture to show. */
  readyMedia() {
    const media = this.media;
    return media && (media.readyState >= 2 || media.naturalWidth) ? media : null;
  }
}

async function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  try {
    window.posewrightReport = new Report(data, await unpackArrays(data.arrays));
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    const banner = document.getElementById("banner");
    banner.hidden = false;
    banner.textContent = `This report could not be opened in this browser (${error.message}). A current Chrome, Edge, Firefox or Safari is needed; the exported files lie beside the report.`;
    throw error;
  }
}

start();
