// Seconds as people write them, and where to mark them on an axis.

const TICK_SPACING = 90; // pixels, at least

/** Smallest of the steps (times a power of ten below one) that is at least `least`. */
function niceStep(least, steps) {
  for (const step of [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...steps]) if (step >= least) return step;
  return Math.ceil(least / 60) * 60;
}

/** Seconds as m:ss.cc. */
function clockText(seconds) {
  const hundredths = Math.round(Math.max(0, seconds) * 100);
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
  return `${Math.floor(hundredths / 6000)}:${rest}`;
}

function shortClock(seconds, step) {
  const text = clockText(seconds + 1e-6);
  return step >= 1 ? text.slice(0, -3) : step >= 0.1 ? text.slice(0, -1) : text;
}

/** Marks on an axis over the clip's frames, `width` pixels long: seconds from the first frame, and the clip's own time. */
function timeTicks(clip, width) {
  const { startTime, fps } = clip.data, end = startTime + (clip.frames - 1) / fps, ticks = [];
  const step = niceStep((end - startTime) / Math.max(1, width / TICK_SPACING), [1, 2, 5, 10, 15, 30, 60]);
  for (let i = Math.ceil(startTime / step - 1e-9); i * step <= end + 1e-9; i++) {
    ticks.push({ time: i * step - startTime, label: shortClock(i * step, step) });
  }
  return ticks;
}
