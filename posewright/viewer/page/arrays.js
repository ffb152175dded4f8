// Arrays out of the page: base64 -> zlib -> cumulative sum over frames -> values (see packing.py).

const INTEGER_TYPES = { int16: Int16Array, int32: Int32Array, uint8: Uint8Array, float32: Float32Array };

function bytesFromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Bytes of the data block `id`; the block's text is dropped, to free its memory. */
function takeBlock(id) {
  const element = document.getElementById(id);
  const bytes = bytesFromBase64(element.textContent.trim());
  element.textContent = "";
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Undo the differencing in place; wraps around in the array's own integer type. */
function accumulate(whole, frames) {
  const stride = whole.length / frames;
  for (let i = stride; i < whole.length; i++) whole[i] += whole[i - stride];
}

function dequantise(whole, header) {
  const values = new Float32Array(whole.length);
  const missing = { int16: -32768, int32: -2147483648 }[header.dtype];
  for (let i = 0; i < whole.length; i++) {
    values[i] = header.missing && whole[i] === missing ? NaN : header.offset + header.step * whole[i];
  }
  return values;
}

/** One packed array as Float32Array in C order. */
async function unpackArray(name, header) {
  const whole = new INTEGER_TYPES[header.dtype](await inflate(takeBlock(`array-${name}`)));
  if (header.dtype === "float32") return whole;
  if (whole.length) accumulate(whole, header.shape[0]);
  return dequantise(whole, header);
}

/** All arrays of the report by name. */
async function unpackArrays(headers) {
  const arrays = {};
  for (const [name, header] of Object.entries(headers)) arrays[name] = await unpackArray(name, header);
  return arrays;
}
