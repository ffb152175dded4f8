// The timeline: who is there when, which foot is on the floor, where warnings lie; scrubbing.

const RULER = 20; // pixels above the first lane

class Timeline {
  /** @param hooks {seek(time), toggled(): after a person was switched on or off} */
  constructor(clip, palette, shown, hooks) {
    this.clip = clip;
    this.palette = palette;
    this.shown = shown;
    this.hooks = hooks;
    this.track = document.getElementById("track");
    this.canvas = document.getElementById("lanes");
    this.playhead = document.getElementById("playhead");
    this.makePeople();
    this.listen();
    this.track.setAttribute("aria-valuemax", String(clip.frames - 1));
    new ResizeObserver(() => this.draw()).observe(this.track);
  }

  makePeople() {
    this.buttons = this.clip.data.people.map((id, p) => {
      const button = element("button", { class: "person", "aria-pressed": String(this.shown[p]), title: `Show or hide person ${id}` });
      button.append(swatch(), `Person ${id}`);
      button.addEventListener("click", () => this.togglePerson(p));
      return button;
    });
    document.getElementById("people").append(...this.buttons);
    this.paintSwatches();
  }

  togglePerson(p) {
    this.shown[p] = !this.shown[p];
    this.buttons[p].setAttribute("aria-pressed", String(this.shown[p]));
    this.draw();
    this.hooks.toggled();
  }

  paintSwatches() {
    this.buttons.forEach((button, p) => {
      const colour = personCss(this.palette, p);
      const disc = button.querySelector("circle");
      disc.setAttribute("fill", colour);
      disc.setAttribute("stroke", colour);
    });
  }

  listen() {
    const go = (event) => {
      const box = this.track.getBoundingClientRect();
      const part = clamp((event.clientX - box.left) / box.width, 0, 1);
      this.hooks.seek(part * (this.clip.frames - 1) / this.clip.data.fps);
    };
    this.track.addEventListener("pointerdown", (event) => {
      this.track.setPointerCapture(event.pointerId);
      go(event);
    });
    this.track.addEventListener("pointermove", (event) => this.track.hasPointerCapture(event.pointerId) && go(event));
  }

  /** Part of the track's width at `time`. */
  part(time) {
    return this.clip.frames > 1 ? clamp((time * this.clip.data.fps) / (this.clip.frames - 1), 0, 1) : 0;
  }

  /** Put the playhead at `time`. */
  show(time) {
    this.playhead.style.left = `${100 * this.part(time)}%`;
    const frame = Math.round(time * this.clip.data.fps);
    if (frame === this.frame) return;
    this.frame = frame;
    this.track.setAttribute("aria-valuenow", String(frame));
    this.track.setAttribute("aria-valuetext", `${clockText(time + this.clip.data.startTime)}, frame ${frame + 1} of ${this.clip.frames}`);
  }

  draw() {
    const width = this.track.clientWidth, height = this.track.clientHeight;
    if (!width || !height) return;
    const context = sizedContext(this.canvas, width, height);
    this.drawRuler(context, width, height);
    const lane = this.buttons[0]?.offsetHeight || 30;
    this.shown.forEach((visible, p) => this.drawLane(context, width, RULER + p * lane, lane, p, visible));
    this.drawWarnings(context, width);
  }

  drawRuler(context, width, height) {
    context.font = this.palette.font;
    context.fillStyle = this.palette.faint;
    context.strokeStyle = this.palette.line;
    context.textBaseline = "middle";
    for (const { time, label } of timeTicks(this.clip, width)) {
      const x = this.part(time) * width;
      context.beginPath();
      context.moveTo(x + 0.5, RULER - 4);
      context.lineTo(x + 0.5, height);
      context.stroke();
      context.textAlign = x < 16 ? "left" : x > width - 16 ? "right" : "center";
      context.fillText(label, x, 8);
    }
  }

  drawLane(context, width, top, height, p, visible) {
    const middle = top + height / 2 - 3, colour = visible ? personCss(this.palette, p) : this.palette.faint;
    const { contacts } = this.clip.arrays;
    context.fillStyle = this.palette.fill;
    roundBar(context, 0, middle - 5, width, 10, 5);
    context.save();
    clipBar(context, 0, middle - 5, width, 10, 5);
    eachRun(this.clip, width, (t) => (this.clip.present[p][t] ? Math.ceil(this.clip.confidence[p][t] * 4) + 1 : 0), (x, w, level) => {
      context.globalAlpha = (visible ? 1 : 0.5) * (0.2 + 0.16 * level);
      context.fillStyle = colour;
      context.fillRect(x, middle - 5, w, 10);
    });
    context.restore();
    for (const i of contacts ? [0, 1] : []) {
      eachRun(this.clip, width, (t) => contacts[(t * this.clip.people + p) * 2 + i], (x, w) => {
        context.globalAlpha = visible ? 0.9 : 0.4;
        context.fillStyle = this.palette.contactCss;
        context.fillRect(x, middle + 7 + 3 * i, w, 2);
      });
    }
    context.globalAlpha = 1;
  }

  drawWarnings(context, width) {
    context.fillStyle = this.palette.warn;
    for (const { time } of this.clip.data.warnings) {
      if (time === null) continue;
      const x = clamp(this.part(time - this.clip.data.startTime) * width, 5, width - 5);
      context.beginPath();
      context.moveTo(x - 5, RULER + 3);
      context.lineTo(x + 5, RULER + 3);
      context.lineTo(x, RULER - 5);
      context.fill();
    }
  }
}

/** Call `paint(x, width, level)` for each stretch of frames with one nonzero level. */
function eachRun(clip, width, levelAt, paint) {
  const place = (t) => (t / clip.frames) * width;
  let start = 0, level = clip.frames ? levelAt(0) : 0;
  for (let t = 1; t <= clip.frames; t++) {
    const next = t < clip.frames ? levelAt(t) : -1;
    if (next === level) continue;
    if (level) paint(place(start), Math.max(place(t) - place(start), 0.75), level);
    start = t;
    level = next;
  }
}

function roundBar(context, x, y, width, height, radius) {
  context.beginPath();
  context.roundRect(x, y, width, height, radius);
  context.fill();
}

function clipBar(context, x, y, width, height, radius) {
  context.beginPath();
  context.roundRect(x, y, width, height, radius);
  context.clip();
}

function swatch() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const disc = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  for (const [name, value] of Object.entries({ cx: 8, cy: 8, r: 5.5, "stroke-width": 2 })) disc.setAttribute(name, value);
  svg.append(disc);
  return svg;
}
