// A file of one's own: read as onwrist's own reader does, made counts as its simulated sensor does.

class FileProblem extends Error {}

const EMPTY = new Set(["", "nan", "na", "null"]);
// A first line beyond this is a time since 1970, as an E4 writes it.
const UNIX = 1e8;

function numberOf(cell) {
  const text = cell.trim();
  return EMPTY.has(text.toLowerCase()) ? NaN : Number(text);
}

// {names, columns: [Float64Array], rate or null, ppgAt}
function parseTable(text, name) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  if (!lines.length) throw new FileProblem(`${name} is empty.`);
  const counted = (mark) => lines[0].split(mark).length;
  const mark = [",", ";", "\t"].reduce((a, b) => (counted(b) > counted(a) ? b : a));
  const rows = lines.map((line) => line.split(mark));
  const single = rows.every((r, i) => i > 1 || r.length === rows[0].length) && rows.length > 3;
  const start = Number(rows[0][0]), second = rows.length > 1 ? Number(rows[1][0]) : NaN;
  if (single && start > UNIX && second >= 5 && second <= 4000 && rows[0].length === 1) {
    // Empatica: start, rate, samples.
    return { names: ["BVP"], columns: [Float64Array.from(rows.slice(2), (r) => numberOf(r[0]))], rate: second, ppgAt: 0 };
  }
  const header = rows[0].some((cell) => cell.trim() !== "" && Number.isNaN(Number(cell))) ? rows.shift().map((c) => c.trim()) : null;
  if (!rows.length) throw new FileProblem(`${name} has a header and no rows.`);
  const names = header ?? rows[0].map((_, i) => `column ${i + 1}`);
  const columns = names.map(() => new Float64Array(rows.length));
  rows.forEach((row, i) => {
    if (row.length !== names.length) throw new FileProblem(`${name}: row ${i + 1 + (header ? 1 : 0)} has ${row.length} cells, not ${names.length}.`);
    row.forEach((cell, j) => {
      columns[j][i] = numberOf(cell);
      if (Number.isNaN(columns[j][i]) && !EMPTY.has(cell.trim().toLowerCase())) throw new FileProblem(`${name}: "${cell.trim()}" in row ${i + 1 + (header ? 1 : 0)} is not a number.`);
    });
  });
  const timeAt = names.findIndex((n) => any(n, DATA.words.time) && !any(n, DATA.words.not_time));
  const rate = timeAt < 0 ? null : rateOf(columns[timeAt], names[timeAt], name);
  return { names, columns, rate, ppgAt: ppgColumn(names, timeAt) };
}

function wordsOf(column) {
  return column.toLowerCase().split(/[^a-z]+/).filter(Boolean);
}

function any(column, words) {
  return wordsOf(column).some((word) => words.includes(word));
}

// The one that is called PPG outright, else one with a word of it, else whatever is not the time.
function ppgColumn(names, timeAt) {
  const lowered = names.map((n) => n.trim().toLowerCase()), other = (_, i) => i !== timeAt;
  const named = DATA.words.ppg_names.find((word) => lowered.includes(word));
  if (named) return lowered.indexOf(named);
  const worded = names.findIndex((n) => any(n, DATA.words.ppg) && !any(n, DATA.words.other));
  return worded >= 0 ? worded : names.findIndex(other);
}

function rateOf(times, column, name) {
  const steps = Float64Array.from(times.subarray(1), (t, i) => t - times[i]);
  if (!steps.length || steps.some((s) => !(s > 0))) throw new FileProblem(`${name}: times do not increase.`);
  const step = steps.slice().sort()[steps.length >> 1];
  const said = wordsOf(column).find((word) => word in DATA.words.units);
  // Where no unit is said, a step of a second or more is in milliseconds.
  const rate = 1 / (step * (said ? DATA.words.units[said] : step >= 1 ? 1e-3 : 1));
  return Math.abs(rate - Math.round(rate)) < 0.01 * rate ? Math.round(rate) : rate;
}

function quantile(sorted, q) {
  const at = (sorted.length - 1) * q, i = Math.floor(at);
  return sorted[i] + (at - i) * ((sorted[i + 1] ?? sorted[i]) - sorted[i]);
}

const TAPS = 12, PULSE_SHARE = 0.02;

// A windowed sinc, cut at the lower of the two Nyquist rates.
function resample(x, from, to) {
  if (from === to) return x;
  const cut = Math.min(1, to / from), reach = TAPS / cut, out = new Float64Array(Math.floor((x.length * to) / from));
  for (let i = 0; i < out.length; i++) {
    const at = (i * from) / to;
    let sum = 0, weights = 0;
    for (let k = Math.ceil(at - reach); k <= at + reach; k++) {
      const d = at - k, u = Math.PI * d * cut;
      const w = (d === 0 ? 1 : Math.sin(u) / u) * (0.5 + 0.5 * Math.cos((Math.PI * d) / reach));
      sum += w * x[Math.min(Math.max(k, 0), x.length - 1)];
      weights += w;
    }
    out[i] = sum / weights;
  }
  return out;
}

// Samples at any rate to a stretch of counts: mid-range, with a pulse of 2 % of the converter's range.
function stretchOf(samples, rate, title, flip) {
  const known = samples.findIndex((v) => Number.isFinite(v));
  if (known < 0) throw new FileProblem(`${title}: every sample of this column is missing.`);
  if (!(rate >= 5 && rate <= 4000)) throw new FileProblem(`${title}: ${rate} samples a second is no PPG sensor's rate (5 to 4000).`);
  const filled = Float64Array.from(samples);
  for (let i = 0, last = -1; i <= filled.length; i++) {
    if (i < filled.length && !Number.isFinite(filled[i])) continue;
    for (let k = last + 1; k < i; k++) {
      const a = last < 0 ? filled[i] : filled[last], b = i < filled.length ? filled[i] : a;
      filled[k] = a + ((b - a) * (k - last)) / (i - last);
    }
    last = i;
  }
  const wave = resample(filled, rate, DATA.rate);
  const sorted = Float64Array.from(wave).sort(), full = 2 ** DATA.bits - 1;
  const low = quantile(sorted, 0.05), high = quantile(sorted, 0.95), middle = quantile(sorted, 0.5);
  const gain = (high > low ? (PULSE_SHARE * full) / (high - low) : 1) * (flip ? -1 : 1);
  const counts = Int32Array.from(wave, (v) => Math.min(Math.max(Math.round((v - middle) * gain + full / 2), 0), full));
  const absent = Uint8Array.from(counts, (_, i) => !Number.isFinite(samples[Math.min(Math.floor((i * rate) / DATA.rate), samples.length - 1)]));
  return { title, counts, absent, pulse: (PULSE_SHARE * full) / 3, middle: full / 2, golden: null, reference: new Uint16Array(0), referenceName: "" };
}
