// Curves over time: joint angles and confidence, with the playhead, values under the pointer, and click to go there.

const GUTTER = { left: 38, right: 8, top: 6, bottom: 18 };
const DEFAULT_ANGLES = ["knee_angle", "hip_flexion", "elbow_flex", "arm_flex", "ankle_angle", "lumbar_extension"];
const DEFAULT_COUNT = 4;

class Chart {
  /**
   * @param options {title, unit, range: [low, high] or null, digits}
   * @param series list of {label, person, dashed, values: Float32Array(T)}
   * @param hooks {seek(time)}
   */
  constructor(clip, palette, options, series, shown, hooks) {
    Object.assign(this, { clip, palette, options, series, shown, hooks });
    this.canvas = element("canvas", { role: "img", "aria-label": `${options.title} over time` });
    this.now = element("div", { class: "now" });
    this.tip = element("div", { class: "tip" });
    this.hover = element("div", { class: "now hover" });
    this.tip.hidden = this.hover.hidden = true;
    this.plot = element("div", { class: "plot" }, this.canvas, this.hover, this.now, this.tip);
    const caption = options.hideTitle ? [] : [element("figcaption", {}, options.title, element("span", {}, options.unit))];
    this.figure = element("figure", { class: "chart" }, ...caption, this.plot);
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.plot);
  }

  remove() {
    this.observer.disconnect();
    this.figure.remove();
  }

  get width() {
    return this.plot.clientWidth - GUTTER.left - GUTTER.right;
  }

  x(frame) {
    return GUTTER.left + (this.clip.frames > 1 ? frame / (this.clip.frames - 1) : 0) * this.width;
  }

  frameAt(x) {
    return Math.round(clamp((x - GUTTER.left) / this.width, 0, 1) * (this.clip.frames - 1));
  }

  listen() {
    const where = (event) => this.frameAt(event.clientX - this.plot.getBoundingClientRect().left);
    this.plot.addEventListener("pointermove", (event) => {
      this.point(where(event));
      if (event.buttons & 1) this.hooks.seek(where(event) / this.clip.data.fps);
    });
    this.plot.addEventListener("pointerleave", () => { this.tip.hidden = this.hover.hidden = true; });
    this.plot.addEventListener("pointerdown", (event) => this.hooks.seek(where(event) / this.clip.data.fps));
  }

  /** Show the values at a frame beside the pointer. */
  point(frame) {
    const { fps, startTime } = this.clip.data, x = this.x(frame);
    const lines = this.visibleSeries().map(({ label, values }) => {
      const value = values[frame];
      return element("div", {}, `${label} `, element("b", {}, value === value ? this.format(value) : "–"));
    });
    this.tip.replaceChildren(element("div", {}, clockText(startTime + frame / fps)), ...lines);
    this.tip.hidden = this.hover.hidden = false;
    this.hover.style.left = `${x}px`;
    const onLeft = x > this.plot.clientWidth / 2;
    this.tip.style.left = onLeft ? "auto" : `${x + 10}px`;
    this.tip.style.right = onLeft ? `${this.plot.clientWidth - x + 10}px` : "auto";
    this.tip.style.top = "6px";
  }

  format(value) {
    return `${value.toFixed(this.options.digits)}${this.options.suffix}`;
  }

  visibleSeries() {
    return this.series.filter(({ person }) => this.shown[person]);
  }

  show(time) {
    this.now.style.left = `${this.x(time * this.clip.data.fps)}px`;
  }

  range() {
    if (this.options.range) return this.options.range;
    let low = Infinity, high = -Infinity;
    for (const { values } of this.visibleSeries()) {
      for (const value of values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    if (!(low <= high)) return [0, 1];
    if (this.options.from !== undefined) return [this.options.from, Math.max(high * 1.06, this.options.limit * 1.15)];
    const least = this.options.leastRange, room = Math.max(0, least - (high - low)) / 2 + (high - low) * 0.06;
    return [low - room, high + room];
  }

  draw() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (!width || !height) return;
    const context = sizedContext(this.canvas, width, height);
    const [low, high] = this.range();
    const y = (value) => GUTTER.top + (1 - (value - low) / (high - low)) * (height - GUTTER.top - GUTTER.bottom);
    this.drawAxes(context, low, high, y, width, height);
    if (this.options.limit !== undefined) this.drawLimit(context, y(this.options.limit), width);
    for (const item of this.visibleSeries()) this.drawCurve(context, item, y);
  }

  /** A dashed line across: above it values are not good. */
  drawLimit(context, y, width) {
    context.strokeStyle = this.palette.warn;
    context.lineWidth = 1;
    context.setLineDash([4, 4]);
    context.beginPath();
    context.moveTo(GUTTER.left, y);
    context.lineTo(width - GUTTER.right, y);
    context.stroke();
    context.setLineDash([]);
  }

  drawAxes(context, low, high, y, width, height) {
    context.font = this.palette.font;
    context.fillStyle = this.palette.faint;
    context.strokeStyle = this.palette.line;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const step = niceStep((high - low) / 4, [1, 2, 5, 10, 15, 20, 30, 45, 60]);
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    for (let value = Math.ceil(low / step) * step; value <= high + 1e-9; value += step) {
      const at = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(GUTTER.left, at);
      context.lineTo(width - GUTTER.right, at);
      context.stroke();
      context.fillText((Math.abs(value) < 1e-9 ? 0 : value).toFixed(digits), GUTTER.left - 7, at);
    }
    this.drawTimes(context, width, height);
  }

  drawTimes(context, width, height) {
    for (const { time, label } of timeTicks(this.clip, this.width)) {
      const x = this.x(time * this.clip.data.fps), atEnd = x > width - 24;
      context.textAlign = atEnd ? "right" : "center";
      context.fillText(label, atEnd ? width - 2 : x, height - 6);
    }
  }

  /** One curve: where frames are closer than pixels, the span of each pixel column; gaps stay gaps. */
  drawCurve(context, { values, person, dashed }, y) {
    context.strokeStyle = personCss(this.palette, person);
    context.lineWidth = 1.7;
    context.lineJoin = "round";
    context.setLineDash(dashed ? [5, 3] : []);
    context.beginPath();
    const stride = Math.max(1, Math.floor(this.clip.frames / (this.width * 2)));
    let open = false;
    for (let t = 0; t < this.clip.frames; t += stride) {
      const [low, high] = span(values, t, Math.min(t + stride, this.clip.frames));
      if (!(low <= high)) { open = false; continue; }
      const x = this.x(t);
      if (open) context.lineTo(x, y(low));
      else context.moveTo(x, y(low));
      if (high !== low) context.lineTo(x, y(high));
      open = true;
    }
    context.stroke();
    context.setLineDash([]);
  }
}

function span(values, from, to) {
  let low = Infinity, high = -Infinity;
  for (let t = from; t < to; t++) {
    if (values[t] < low) low = values[t];
    if (values[t] > high) high = values[t];
  }
  return [low, high];
}

/** All charts of the page. */
class Plots {
  constructor(clip, palette, shown, hooks) {
    Object.assign(this, { clip, palette, shown, hooks });
    this.charts = [];
    this.angleCharts = new Map();
    this.confidence = this.makeConfidence();
    this.expected = clip.data.uncertainty && clip.frames > 1 ? this.makeExpected() : null;
    this.groups = clip.data.angles ? angleGroups(clip.data.angles) : [];
    if (this.groups.length) this.makeAngles();
  }

  makeConfidence() {
    const series = this.clip.data.people.map((id, person) => ({
      label: `Person ${id}`, person, dashed: false, values: this.clip.confidence[person],
    }));
    const chart = new Chart(this.clip, this.palette,
      { title: "Confidence", unit: "", range: [0, 1], digits: 2, suffix: "", hideTitle: true }, series, this.shown, this.hooks);
    document.getElementById("confidence-charts").append(chart.figure);
    return chart;
  }

  /** Root mean square error to be expected of a person's joints relative to the pelvis, centimetres. */
  makeExpected() {
    const { clip } = this, values = clip.arrays.expected_error;
    const series = clip.data.people.map((id, person) => ({
      label: `Person ${id}`, person, dashed: false,
      values: Float32Array.from({ length: clip.frames }, (_, t) => 100 * values[t * clip.people + person]),
    }));
    const limit = 100 * clip.data.uncertainty.limit;
    const chart = new Chart(clip, this.palette,
      { title: "Expected error", unit: "cm", range: null, from: 0, leastRange: 5, limit, digits: 1, suffix: " cm", hideTitle: true }, series, this.shown, this.hooks);
    document.getElementById("expected-charts").append(chart.figure);
    document.getElementById("expected-key").textContent = `cm, over the joints, relative to the pelvis; above ${limit.toFixed(0)} cm a frame is not to be trusted`;
    document.getElementById("expected-card").hidden = false;
    return chart;
  }

  makeAngles() {
    document.getElementById("angles-card").hidden = false;
    document.getElementById("angles-key").textContent = this.groups.some((group) => group.members.length > 1)
      ? "solid: left, dashed: right" : "";
    const preferred = DEFAULT_ANGLES.map((key) => this.groups.find((group) => group.key.startsWith(key))).filter(Boolean);
    const chosen = new Set([...preferred, ...this.groups].slice(0, DEFAULT_COUNT));
    const choices = this.groups.map((group) => this.makeChoice(group, chosen.has(group)));
    document.getElementById("angle-choices").append(...choices);
    this.arrange();
  }

  makeChoice(group, checked) {
    const box = element("input", { type: "checkbox" });
    box.checked = group.chosen = checked;
    box.addEventListener("change", () => {
      group.chosen = box.checked;
      this.arrange();
    });
    return element("label", {}, box, group.title);
  }

  /** Show the charts of the chosen angles, in the order of their names in the data. */
  arrange() {
    const place = document.getElementById("angle-charts");
    for (const group of this.groups) {
      const chart = this.angleCharts.get(group);
      if (group.chosen && !chart) this.angleCharts.set(group, this.makeAngleChart(group));
      if (!group.chosen && chart) {
        chart.remove();
        this.angleCharts.delete(group);
      }
    }
    place.classList.toggle("single", this.angleCharts.size === 1);
    place.append(...this.groups.filter((group) => group.chosen).map((group) => this.angleCharts.get(group).figure));
    this.hooks.changed();
  }

  makeAngleChart(group) {
    const isLength = group.unit === "m", factor = isLength ? 1 : 180 / Math.PI;
    const series = [];
    this.clip.data.people.forEach((id, person) => {
      for (const { index, side: sideName } of group.members) {
        const label = [this.clip.people > 1 ? `Person ${id}` : "", sideName].filter(Boolean).join(", ") || group.title;
        series.push({ label, person, dashed: sideName === "right", values: this.angleValues(person, index, factor) });
      }
    });
    const options = isLength
      ? { title: group.title, unit: "metres", digits: 3, suffix: " m", leastRange: 0.1 }
      : { title: group.title, unit: "degrees", digits: 1, suffix: "°", leastRange: 10 };
    return new Chart(this.clip, this.palette, options, series, this.shown, this.hooks);
  }

  angleValues(person, index, factor) {
    const { angles } = this.clip.arrays, count = this.clip.data.angles.names.length;
    return Float32Array.from({ length: this.clip.frames }, (_, t) => angles[(t * this.clip.people + person) * count + index] * factor);
  }

  all() {
    return [...this.angleCharts.values(), ...(this.expected ? [this.expected] : []), this.confidence];
  }

  draw() {
    for (const chart of this.all()) chart.draw();
  }

  show(time) {
    for (const chart of this.all()) chart.show(time);
  }
}

/** Left and right of one angle belong together: `knee_angle_l` and `knee_angle_r`, or `left_elbow` and `right_elbow`. */
function angleGroups({ names, units }) {
  const groups = new Map();
  names.forEach((name, index) => {
    const match = /^(left|right)_(.+)$/.exec(name);
    const suffix = /^(.+)_([lr])$/.exec(name);
    const key = match ? match[2] : suffix ? suffix[1] : name;
    const sideName = match ? match[1] : suffix ? { l: "left", r: "right" }[suffix[2]] : "";
    if (!groups.has(key)) groups.set(key, { key, title: plainName(key), unit: units[index], members: [] });
    groups.get(key).members.push({ index, side: sideName });
  });
  for (const group of groups.values()) group.members.sort((a, b) => (a.side < b.side ? -1 : 1));
  return [...groups.values()];
}

function plainName(key) {
  const text = key.replace(/_t([xyz])$/, " position $1").replaceAll("_", " ").replace(/\bflex\b/, "flexion").replace(/\badd\b/, "adduction").replace(/\brot\b/, "rotation");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
