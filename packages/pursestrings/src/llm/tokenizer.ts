/** Counts tokens of text for one encoding. */
type CountText = (text: string) => number;

/** How much text is counted before the event loop gets its turn: about 4 ms of work. */
const SLICE_CHARACTERS = 32_768;

/**
 * A run without white space is counted in pieces of this length: the encoder's work grows with its
 * square.
 */
const MAX_RUN_CHARACTERS = 96;

/** A cut inside a run can change how the neighbours merge; this many tokens cover it. */
export const TOKENS_PER_CUT = 4;

const LONG_RUN = new RegExp(`\\S{${MAX_RUN_CHARACTERS + 1},}|\\s{${MAX_RUN_CHARACTERS + 1},}`, 'g');

const NO_SPECIALS = { disallowedSpecial: new Set<string>() };

/**
 * Models whose encoding is public and known to `gpt-tokenizer`, by the name that requests carry.
 */
const CL100K = /^(ft:)?(gpt-4(-|$)|gpt-3\.5|gpt-35)/;
const O200K = /^(ft:)?(gpt-4o|gpt-4\.[15]|gpt-5|gpt-audio|gpt-oss|chatgpt-4o|o[134](-|$))/;

let o200k: Promise<CountText> | undefined;
let cl100k: Promise<CountText> | undefined;

/** True when the text of this model can be counted, not just bounded. */
export function hasTokenizer(model: string): boolean {
  return O200K.test(model) || CL100K.test(model);
}

/**
 * Counts the tokens of texts under a model's encoding; null when the encoding is not known. The
 * encoder is loaded on first use (some 0.3 s, and 30 MB), and long text is counted in slices, so
 * that nothing else waits for more than a few milliseconds. Long runs without white space, on
 * which byte-pair encoding takes quadratic time, are counted in pieces and a little too high.
 */
export async function countTokens(model: string, texts: readonly string[]): Promise<number | null> {
  const counter = counterFor(model);
  if (counter === null) return null;
  const count = await counter;
  let tokens = 0;
  let sinceTurn = 0;
  for (const text of texts) {
    for (const slice of slices(text)) {
      tokens += countSlice(slice, count);
      sinceTurn += slice.length;
      if (sinceTurn >= SLICE_CHARACTERS) {
        sinceTurn = 0;
        await new Promise((turn) => setImmediate(turn));
      }
    }
  }
  return tokens;
}

function counterFor(model: string): Promise<CountText> | null {
  if (O200K.test(model)) {
    o200k ??= import('gpt-tokenizer/encoding/o200k_base').then(
      ({ countTokens: count }) =>
        (text) =>
          count(text, NO_SPECIALS),
    );
    return o200k;
  }
  if (CL100K.test(model)) {
    cl100k ??= import('gpt-tokenizer/encoding/cl100k_base').then(
      ({ countTokens: count }) =>
        (text) =>
          count(text, NO_SPECIALS),
    );
    return cl100k;
  }
  return null;
}

/** Cuts text before a space, where no token spans the cut, or failing that anywhere, at a price. */
function* slices(text: string): Generator<string> {
  let start = 0;
  while (text.length - start > SLICE_CHARACTERS) {
    const space = text.lastIndexOf(' ', start + SLICE_CHARACTERS);
    const end = space > start ? space : start + SLICE_CHARACTERS;
    yield text.slice(start, end);
    start = end;
  }
  if (start < text.length) yield start === 0 ? text : text.slice(start);
}

function countSlice(slice: string, count: CountText): number {
  let tokens = 0;
  let counted = 0;
  for (const run of slice.matchAll(LONG_RUN)) {
    if (run.index > counted) tokens += count(slice.slice(counted, run.index)) + TOKENS_PER_CUT;
    for (let at = 0; at < run[0].length; at += MAX_RUN_CHARACTERS) {
      tokens += count(run[0].slice(at, at + MAX_RUN_CHARACTERS)) + TOKENS_PER_CUT;
    }
    counted = run.index + run[0].length;
  }
  if (counted === 0) return count(slice) + TOKENS_PER_CUT;
  return counted < slice.length ? tokens + count(slice.slice(counted)) : tokens;
}
