"use strict";
// The sensor: a recording's counts in FIFO bursts, and what goes wrong on the way. Nothing here is firmware.

const DATA = JSON.parse(document.getElementById("data").textContent);

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

// Second differences, folded, byte plane by byte plane.
function unpackCounts(bytes, length, planes) {
  const counts = new Int32Array(length);
  let before = 0, slope = 0;
  for (let i = 0; i < length; i++) {
    let folded = 0;
    for (let p = planes - 1; p >= 0; p--) folded = folded * 256 + bytes[p * length + i];
    slope += folded % 2 ? -(folded + 1) / 2 : folded / 2;
    before += slope;
    counts[i] = before;
  }
  return counts;
}

function maskOf(length, runs) {
  const absent = new Uint8Array(length);
  for (const [first, n] of runs) absent.fill(1, first, first + n);
  return absent;
}

// A stretch of the page's data, ready to be played.
async function openStretch(index) {
  const given = DATA.stretches[index], { length, planes, data } = given.counts;
  const golden = {};
  for (const [name, text] of Object.entries(given.golden)) golden[name] = new Uint32Array((await unpack(text)).buffer);
  const reference = given.reference ? new Uint16Array((await unpack(given.reference)).buffer) : new Uint16Array(0);
  return {
    title: given.title, counts: unpackCounts(await unpack(data), length, planes), absent: maskOf(length, given.absent),
    pulse: given.pulse, middle: given.middle, golden, reference, referenceName: given.reference_name,
  };
}

// What bridges a gap is the watch's setting, no fault; golden outputs are those of the first.
const POLICIES = ["interpolate", "hold", "reset"];
const NO_FAULTS = { gap: 0, loss: 0, saturation: 0, gain: 1, noise: 0, drift: 0, stall: 0, flip: false };
const MINUTE_S = 60, GAIN_EVERY_S = 30;

function disturbs(faults) {
  return Object.keys(NO_FAULTS).some((name) => faults[name] !== NO_FAULTS[name]);
}

// The last `seconds` of each minute.
function within(t, seconds) {
  return seconds > 0 && t % MINUTE_S >= MINUTE_S - seconds;
}

// The same draws each time that a run starts (mulberry32).
function makeDice(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Sensor {
  constructor(stretch) {
    this.stretch = stretch;
    this.full = 2 ** DATA.bits - 1;
    this.number = 0; // of the next sample that the converter takes
    this.place = 0; // where in the recording that is
    this.dice = makeDice(1);
  }

  get ended() {
    return this.place > this.stretch.counts.length - 1;
  }

  light(t, faults) {
    const { counts, middle, pulse } = this.stretch, i = Math.floor(this.place), part = this.place - i;
    let x = counts[i];
    if (part > 0) { // between samples, where the clock drifts: Catmull-Rom
      const at = (k) => counts[Math.min(Math.max(i + k, 0), counts.length - 1)];
      const [a, b, c, d] = [at(-1), x, at(1), at(2)];
      x = b + 0.5 * part * (c - a + part * (2 * a - 5 * b + 4 * c - d + part * (3 * (b - c) + d - a)));
    }
    if (Math.floor(t / GAIN_EVERY_S) % 2 === 1) x *= faults.gain;
    if (faults.noise > 0) {
      const normal = Math.sqrt(-2 * Math.log(1 - this.dice())) * Math.cos(2 * Math.PI * this.dice());
      x += faults.noise * pulse * normal;
    }
    if (within(t, faults.saturation)) x += this.full - middle;
    if (faults.flip) x = this.full - x;
    return Math.min(Math.max(Math.round(x), 0), this.full);
  }

  // One FIFO read-out: {from, time, seen, bursts}. `seen` holds NaN where no sample was sent; a burst is a run of
  // consecutive samples. Null at the end.
  read(faults) {
    if (this.ended) return null;
    const from = this.number, counts = new Int32Array(DATA.burst), seen = new Float32Array(DATA.burst);
    let n = 0;
    for (; n < DATA.burst && !this.ended; n++) {
      const t = this.number / DATA.rate;
      const sent = !this.stretch.absent[Math.round(this.place)] && !within(t, faults.gap);
      counts[n] = this.light(t, faults);
      seen[n] = sent ? counts[n] : NaN;
      this.place += 1 + faults.drift / 100;
      this.number++;
    }
    const bursts = [];
    const arrives = faults.loss === 0 || this.dice() * 100 >= faults.loss;
    if (!arrives) seen.fill(NaN);
    for (let a = 0; arrives && a < n; ) {
      let b = a;
      while (b < n && !Number.isNaN(seen[b])) b++;
      if (b > a) bursts.push({ sequence: from + a, counts: counts.slice(a, b) });
      a = b + 1;
    }
    return { from, time: this.number / DATA.rate, seen: seen.subarray(0, n), bursts };
  }
}
