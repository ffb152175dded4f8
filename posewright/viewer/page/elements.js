// Elements, canvases and colours.

/** An HTML element with attributes; text always goes in as text. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** 2D context of a canvas made to fit `width` x `height` CSS pixels, cleared. */
function sizedContext(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const across = Math.round(width * ratio), down = Math.round(height * ratio);
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

function personCss(palette, p) {
  return palette.css[p % palette.css.length];
}
