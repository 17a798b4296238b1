// Any stretch of the run, drawn from the data in the page. Without this the page shows its still pictures.

const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (name) => document.getElementById(`zoom-${name}`);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
// NaN where there is nothing.
const reals = (text) => new Float32Array(bytes(text).buffer);
const WAVE = new Int8Array(bytes(DATA.wave).buffer), REFERENCE = reals(DATA.reference);
const STUDENTS = DATA.students.map((s) => ({ name: s.name, says: reals(s.says), why: bytes(s.why), sure: bytes(s.sure), chances: s.chances.map((c) => ({ name: c.name, of: bytes(c.of) })) }));
const TOTAL = DATA.hops * DATA.hop_s;
// Seconds. What is longer than the run is left out.
const SPANS = [[TOTAL, "everything"], [1800, "30 minutes"], [600, "10 minutes"], [120, "2 minutes"], [60, "1 minute"], [15, "15 seconds"]].filter(([s], i) => i === 0 || s < TOTAL);
const MINUTE = 60, LEFT = 46, RIGHT = 8;
const view = { student: 0, span: TOTAL, from: 0, pointed: null };
let plot = null;

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const clock = (s) => {
  const t = Math.round(DATA.start_s + s), two = (n) => String(n).padStart(2, "0");
  return (t >= 3600 ? `${Math.floor(t / 3600)}:${two(Math.floor(t / 60) % 60)}` : `${Math.floor(t / 60)}`) + `:${two(t % 60)}`;
};
const known = (v) => Number.isFinite(v); // neither NaN nor beyond the end
// Of the yes/nos and classes, in their order.
const LINES = ["answer", "bad", "reference", "warn", "raw", "lost"];

function move(from) {
  view.from = clamp(from, 0, Math.max(0, TOTAL - view.span));
  byId("at").value = TOTAL > view.span ? Math.round((1000 * view.from) / (TOTAL - view.span)) : 0;
  byId("at").setAttribute("aria-valuetext", `from ${clock(view.from)}`);
  byId("at").disabled = TOTAL <= view.span;
  draw();
}

function spanTo(seconds, middle) {
  view.span = seconds;
  byId("span").value = SPANS.findIndex(([s]) => s === seconds);
  move(middle - seconds / 2);
}

function inSight() {
  const first = Math.floor(view.from / DATA.hop_s), last = Math.min(DATA.hops, Math.ceil((view.from + view.span) / DATA.hop_s));
  return [first, last];
}

function levels(low, high) {
  const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((s) => (high - low) / s <= 5) || 200, found = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) found.push(v);
  return found;
}

// A strip of the picture between two heights, with its axis; returns value -> height.
function strip(top, bottom, low, high, title, marks) {
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);
  for (const v of marks) {
    plot.rule(y(v), LEFT, plot.width - RIGHT);
    plot.text(String(v), LEFT - 6, y(v) + 4, "right");
  }
  plot.text(title, LEFT, top - 6, "left", COLOURS.ink);
  return y;
}

function draw() {
  plot.clear();
  const pen = plot.pen, s = STUDENTS[view.student], [first, last] = inSight();
  const x = (t) => LEFT + ((t - view.from) / view.span) * (plot.width - LEFT - RIGHT);
  const at = (i) => x((i + 1) * DATA.hop_s), free = plot.height - 110;
  const tops = [20, 20 + free * 0.46 + 28, 20 + free * 0.64 + 56], ends = [20 + free * 0.46, 20 + free * 0.64 + 28, 20 + free + 56];
  const seen = [];
  for (let i = first; i < last; i++) {
    for (const v of [s.says[i], REFERENCE[i]]) if (known(v)) seen.push(v);
  }
  const [least, most] = seen.length ? [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))] : [0, 1];
  const low = Math.floor(least - 4), high = Math.ceil(most + 4);
  pen.save();
  let y = strip(tops[0], ends[0], low, high, DATA.value ? `${DATA.value}, ${DATA.unit}` : "no value", levels(low, high));
  pen.beginPath(); pen.rect(LEFT, 0, plot.width - LEFT - RIGHT, plot.height); pen.clip();
  line((i) => known(REFERENCE[i]) ? y(REFERENCE[i]) : null, COLOURS.reference, 2.5);
  const size = clamp(0.35 * (at(1) - at(0)), 1.2, 4);
  for (let i = first; i < last; i++) {
    if (!known(s.says[i])) continue;
    pen.beginPath();
    pen.arc(at(i), y(s.says[i]), size, 0, 7);
    pen.fillStyle = COLOURS.raw; pen.strokeStyle = COLOURS.warn;
    if (s.why[i] === 0) pen.fill(); else pen.stroke();
  }
  pen.restore();
  y = strip(tops[1], ends[1], 0, 1, "probability", [0, 0.5, 1]);
  s.chances.forEach((c, k) => line((i) => y(c.of[i] / 255), COLOURS[LINES[k % LINES.length]], 1.4));
  y = strip(tops[2], ends[2], -4.2, 4.2, "model input, standard deviations", [-4, -2, 0, 2, 4]);
  wave(y, x);
  const count = clamp(Math.floor(plot.width / 110), 2, 8);
  for (let k = 0; k <= count; k++) plot.text(clock(view.from + (k * view.span) / count), x(view.from + (k * view.span) / count), plot.height - 20, k === 0 ? "left" : k === count ? "right" : "center");
  plot.text("minutes : seconds since power-up", plot.width - RIGHT, plot.height - 4, "right");
  if (view.pointed !== null) {
    pen.strokeStyle = COLOURS.soft;
    pen.beginPath(); pen.moveTo(at(view.pointed), 14); pen.lineTo(at(view.pointed), ends[2]); pen.stroke();
  }
  byId("said").textContent = view.pointed === null ? summary(s, first, last) : moment(s, view.pointed);

  function line(height, colour, width) {
    pen.strokeStyle = colour; pen.lineWidth = width; pen.beginPath();
    let down = false;
    for (let i = first; i < last; i++) {
      const h = height(i);
      if (h === null) { down = false; continue; }
      if (down) pen.lineTo(at(i), h); else pen.moveTo(at(i), h);
      down = true;
    }
    pen.stroke(); pen.lineWidth = 1;
  }
}

function wave(y, x) {
  const pen = plot.pen, from = Math.max(0, Math.floor(view.from * DATA.rate)), to = Math.min(WAVE.length, Math.ceil((view.from + view.span) * DATA.rate));
  if (to <= from) { plot.text("of a run this long the page has the wave's first hours only", LEFT + 8, y(0) - 6); return; }
  pen.strokeStyle = COLOURS.seen; pen.beginPath();
  const columns = plot.width - LEFT - RIGHT, each = (to - from) / columns;
  if (each < 2) {
    for (let i = from; i < to; i++) pen[i === from ? "moveTo" : "lineTo"](x(i / DATA.rate), y(WAVE[i] * DATA.wave_scale));
  } else {
    for (let c = 0; c < columns; c++) { // lowest and highest of each column
      let low = 127, high = -128;
      for (let i = Math.floor(from + c * each); i < Math.min(to, from + (c + 1) * each); i++) { low = Math.min(low, WAVE[i]); high = Math.max(high, WAVE[i]); }
      pen.moveTo(LEFT + c + 0.5, y(low * DATA.wave_scale) + 0.5); pen.lineTo(LEFT + c + 0.5, y(high * DATA.wave_scale) - 0.5);
    }
  }
  pen.stroke();
}

function summary(s, first, last) {
  const why = new Map(), shown = [], truth = [];
  let off = 0, compared = 0, count = 0;
  for (let i = first; i < last; i++) {
    why.set(s.why[i], (why.get(s.why[i]) || 0) + 1);
    if (known(REFERENCE[i])) truth.push(REFERENCE[i]);
    if (s.why[i] === 0) {
      count++;
      if (known(s.says[i])) shown.push(s.says[i]);
      if (known(REFERENCE[i]) && known(s.says[i])) { off += Math.abs(s.says[i] - REFERENCE[i]); compared++; }
    }
  }
  const spread = (v) => { const low = v.reduce((a, b) => Math.min(a, b)), high = v.reduce((a, b) => Math.max(a, b)); return `${low.toFixed(0)} to ${high.toFixed(0)}`; };
  const rest = [...why].filter(([k]) => k > 0).sort((a, b) => b[1] - a[1]).map(([k, n]) => `${DATA.reasons[k]} ${n}`).join(", ");
  return `${s.name}, ${clock(view.from)} to ${clock(view.from + view.span)}: ${count} of ${last - first} outputs shown`
    + (shown.length ? `, ${spread(shown)} ${DATA.unit}` : "") + (truth.length ? `; reference ${spread(truth)}` : "")
    + (compared ? `, ${(off / compared).toFixed(1)} off on average` : "") + (rest ? `. Not shown: ${rest}.` : ".");
}

function moment(s, i) {
  const truth = known(REFERENCE[i]) ? `, reference ${REFERENCE[i].toFixed(1)}` : "";
  const says = [...(known(s.says[i]) ? [`${s.says[i].toFixed(1)} ${DATA.unit}${truth}`] : []), s.chances.map((c) => `${c.name} ${(c.of[i] / 255).toFixed(2)}`).join(", ")];
  return `${s.name} at ${clock((i + 1) * DATA.hop_s)}: ${says.join("; ")}; ${s.why[i] === 0 ? "shown" : `not shown: ${DATA.reasons[s.why[i]]}`}.`;
}

// The minute whose outputs score highest, as its middle in seconds.
function find(score) {
  const s = STUDENTS[view.student], width = Math.max(1, Math.min(DATA.hops, Math.round(MINUTE / DATA.hop_s)));
  let sum = 0, best = -Infinity, middle = 0;
  for (let i = 0; i < DATA.hops; i++) {
    sum += score(s, i) - (i >= width ? score(s, i - width) : 0);
    if (i >= width - 1 && sum > best) { best = sum; middle = (i + 1 - width / 2) * DATA.hop_s; }
  }
  return middle;
}
// The second reason is the warm-up after power-up: bad by its nature.
const JUMPS = {
  worst: (s, i) => (s.why[i] === 1 ? -255 : -s.sure[i]),
  best: (s, i) => s.sure[i] - (s.why[i] ? 255 : 0),
  off: (s, i) => (known(REFERENCE[i]) && known(s.says[i]) && s.why[i] === 0 ? Math.abs(s.says[i] - REFERENCE[i]) : 0),
};

function start() {
  document.getElementById("zoom").hidden = false;
  document.getElementById("stills").hidden = true;
  readColours();
  plot = new Plot(byId("canvas"));
  SPANS.forEach(([, name], i) => byId("span").add(new Option(name, i)));
  byId("off").hidden = byId("reference").hidden = REFERENCE.length === 0;
  if (REFERENCE.length) byId("reference").textContent = `reference: ${DATA.reference_name}`;
  STUDENTS[0].chances.forEach((c, k) => {
    const line = document.createElement("span");
    line.className = "is-line"; line.textContent = c.name;
    line.style.setProperty("--own", `var(--${LINES[k % LINES.length]})`);
    byId("legend").append(line);
  });
  byId("student").addEventListener("change", (e) => { view.student = Number(e.target.value); draw(); });
  byId("span").addEventListener("change", (e) => spanTo(SPANS[e.target.value][0], view.from + view.span / 2));
  byId("at").addEventListener("input", (e) => move((e.target.value / 1000) * (TOTAL - view.span)));
  for (const button of document.querySelectorAll("[data-jump]")) {
    button.addEventListener("click", () => spanTo(Math.min(MINUTE, TOTAL), find(JUMPS[button.dataset.jump])));
  }
  const canvas = byId("canvas"), seconds = (e) => view.from + ((e.offsetX - LEFT) / (plot.width - LEFT - RIGHT)) * view.span;
  let held = null;
  canvas.addEventListener("pointerdown", (e) => { held = { x: e.offsetX, from: view.from }; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointercancel", () => { held = null; });
  canvas.addEventListener("pointerleave", () => { view.pointed = null; draw(); });
  canvas.addEventListener("pointermove", (e) => {
    if (held) { view.pointed = null; move(held.from - ((e.offsetX - held.x) / (plot.width - LEFT - RIGHT)) * view.span); return; }
    const i = Math.round(seconds(e) / DATA.hop_s) - 1;
    view.pointed = i >= 0 && i < DATA.hops ? i : null;
    draw();
  });
  canvas.addEventListener("dblclick", (e) => { const next = SPANS.find(([s]) => s < view.span); if (next) spanTo(next[0], seconds(e)); });
  addEventListener("resize", () => { plot.fit(); draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  move(0);
}
start();
