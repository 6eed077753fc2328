// A decoder that writes a text token by token.
import { likeliest, run, whole } from "./common.mjs";

/**
 * The likeliest token after each other, until the text ends; `longest` at most.
 *
 * `never` are tokens that are never written, `notFirst` those that begin no text.
 */
export async function writeTokens(ort, decoder, cross, prompt, longest, { end, never, notFirst }) {
  const layers = decoder.inputNames.filter((name) => name.startsWith("past."));
  let past = Object.fromEntries(layers.map((name) => [name, empty(ort, decoder, name)]));
  const tokens = [];
  for (let next = prompt; tokens.length <= longest; ) {
    const made = await run(decoder, {
      tokens: whole(ort, next, [1, next.length]),
      positions: whole(ort, [next.length - 1]),
      ...past,
      ...cross,
    });
    const [, rows, width] = made.log_probs.dims;
    const found = made.log_probs.data.slice((rows - 1) * width, rows * width);
    for (const token of never) found[token] = -Infinity;
    if (tokens.length === 0) for (const token of notFirst) found[token] = -Infinity;
    const token = likeliest(found);
    if (token === end) break;
    tokens.push(token);
    next = [token];
    past = Object.fromEntries(layers.map((name) => [name, made[name.replace("past.", "present.")]]));
  }
  return tokens.slice(0, longest);
}

function empty(ort, decoder, name) {
  const { shape } = decoder.inputMetadata.find((input) => input.name === name);
  return new ort.Tensor("float32", new Float32Array(0), [1, shape[1], 0, shape[3]]);
}
