// Pictures: waves that scroll, answers since the start, the ring.

// The last minutes of a signal; NaN where there is none.
class Trace {
  constructor(rate, seconds) {
    this.rate = rate;
    this.values = new Float32Array(Math.ceil(rate * seconds));
    this.clear();
  }

  clear() {
    this.values.fill(NaN);
    this.end = 0;
    this.low = this.high = NaN;
  }

  at(i) {
    return i < 0 || i >= this.end || i < this.end - this.values.length ? NaN : this.values[i % this.values.length];
  }

  put(first, values) {
    const size = this.values.length;
    for (let i = Math.max(this.end, first - size); i < first; i++) this.values[i % size] = NaN;
    for (let k = 0; k < values.length; k++) this.values[(first + k) % size] = values[k];
    this.end = Math.max(this.end, first + values.length);
  }
}

function clock(seconds) {
  const s = Math.floor(seconds), rest = String(s % 60).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${rest}` : `${Math.floor(s / 60)}:${rest}`;
}

// A round step that gives at most `most` ticks over a span.
function tickStep(span, most, steps) {
  return steps.find((s) => span / s <= most) ?? steps[steps.length - 1];
}
const TIME_STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 3600];

function timeAxis(plot, from, to, left, right) {
  const step = tickStep(to - from, (right - left) / 70, TIME_STEPS);
  for (let t = Math.max(0, Math.ceil(from / step) * step); t <= to; t += step) {
    const x = left + ((t - from) / (to - from)) * (right - left);
    plot.pen.strokeStyle = COLOURS.line;
    plot.pen.beginPath();
    plot.pen.moveTo(Math.round(x) + 0.5, 0);
    plot.pen.lineTo(Math.round(x) + 0.5, plot.height - 15);
    plot.pen.stroke();
    if (x > left + 14 && x < right - 14) plot.text(clock(t), x, plot.height - 2, "center");
  }
}

// settings: colour; rails: [low, high] drawn where touched; fixed: [low, high] of the axis, else it follows the wave.
function drawWave(plot, trace, now, span, settings) {
  const { pen } = plot, left = 62, right = plot.width, top = 4, bottom = plot.height - 18;
  plot.clear();
  const from = now - span;
  timeAxis(plot, from, now, left, right);
  const columns = Math.max(1, Math.floor(right - left)), per = (span * trace.rate) / columns;
  const first = from * trace.rate;
  let low = Infinity, high = -Infinity;
  for (let i = Math.max(0, Math.floor(first)); i < trace.end; i++) {
    const v = trace.at(i);
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (settings.fixed) [low, high] = settings.fixed;
  else if (low <= high) {
    const pad = Math.max(1, (high - low) * 0.08);
    [low, high] = [Math.max(low - pad, settings.rails[0]), Math.min(high + pad, settings.rails[1])];
    // Wider at once, narrower by and by.
    trace.low = low < trace.low || Number.isNaN(trace.low) ? low : trace.low + (low - trace.low) * 0.08;
    trace.high = high > trace.high || Number.isNaN(trace.high) ? high : trace.high + (high - trace.high) * 0.08;
    [low, high] = [trace.low, trace.high];
  } else [low, high] = [0, 1];
  const y = (v) => bottom - ((v - low) / (high - low)) * (bottom - top);
  const marks = settings.fixed ? [low, 0, high] : [low, high];
  for (const v of marks) {
    if (settings.fixed) plot.rule(y(v), left, right);
    plot.text(Math.round(v).toLocaleString("en"), left - 6, Math.min(Math.max(y(v) + 4, 11), bottom), "right");
  }
  pen.strokeStyle = settings.colour;
  pen.lineWidth = 1.4;
  pen.lineJoin = "round";
  pen.beginPath();
  const railed = [];
  let down = false;
  const [floor, ceiling] = settings.rails;
  if (per <= 1) {
    for (let i = Math.max(0, Math.ceil(first)); i < trace.end; i++) {
      const v = trace.at(i), x = left + (i - first) / per;
      if (Number.isNaN(v)) down = false;
      else {
        if (down) pen.lineTo(x, y(v));
        else pen.moveTo(x, y(v));
        down = true;
        if (v <= floor || v >= ceiling) railed.push([x, y(v)]);
      }
    }
  } else {
    for (let c = 0; c < columns; c++) {
      let least = Infinity, most = -Infinity;
      for (let i = Math.floor(first + c * per); i < first + (c + 1) * per; i++) {
        const v = trace.at(i);
        if (v < least) least = v;
        if (v > most) most = v;
      }
      if (least > most) {
        down = false;
        continue;
      }
      const x = left + c;
      if (down) pen.lineTo(x, y(least));
      else pen.moveTo(x, y(least));
      pen.lineTo(x, y(most));
      down = true;
      if (least <= floor) railed.push([x, y(least)]);
      if (most >= ceiling) railed.push([x, y(most)]);
    }
  }
  pen.stroke();
  pen.fillStyle = COLOURS.bad;
  for (const [x, at] of railed) pen.fillRect(x - 1, at - 1.5, 2, 3);
}

// One dot an output over the whole stretch: full where it is shown, faint where it is not, and why below.
function drawTrend(plot, student, stretch, seconds, now) {
  const { pen } = plot, left = 30, right = plot.width - 2, top = 4, bottom = plot.height - 26;
  plot.clear();
  const axis = student.spec.answers.findIndex((a) => a.kind === "line");
  const end = Math.max(seconds, now), x = (t) => left + (t / end) * (right - left);
  timeAxis(plot, 0, end, left, right);
  let low = Infinity, high = -Infinity;
  const value = (hop) => student.spec.answers[axis].offset + student.spec.answers[axis].gain * hop.answers[axis];
  if (axis >= 0) {
    for (const hop of student.hops) {
      if (hop.reasons) continue;
      low = Math.min(low, value(hop));
      high = Math.max(high, value(hop));
    }
    for (const tenths of stretch.reference) {
      if (!tenths) continue;
      low = Math.min(low, tenths / DATA.bpm_steps);
      high = Math.max(high, tenths / DATA.bpm_steps);
    }
  }
  if (low > high) [low, high] = [50, 100];
  low = Math.floor((low - 3) / 10) * 10;
  high = Math.max(Math.ceil((high + 3) / 10) * 10, low + 20);
  const y = (v) => bottom - ((Math.min(Math.max(v, low), high) - low) / (high - low)) * (bottom - top);
  for (let v = low; v <= high; v += tickStep(high - low, 4, [10, 20, 50, 100])) {
    plot.rule(y(v), left, right);
    plot.text(String(v), left - 5, Math.max(y(v) + 4, 11), "right");
  }
  if (axis < 0) return;
  const size = end / DATA.hop_s > right - left ? 1.8 : 3;
  pen.fillStyle = COLOURS.reference;
  stretch.reference.forEach((tenths, i) => {
    if (tenths) pen.fillRect(x((i + 1) * DATA.hop_s) - 0.8, y(tenths / DATA.bpm_steps) - 1, 1.6, 2);
  });
  const wide = Math.max(1.2, ((right - left) * DATA.hop_s) / end + 0.4);
  for (const hop of student.hops) {
    const at = x(hop.time);
    if (hop.reasons) {
      pen.fillStyle = COLOURS.warn;
      pen.fillRect(at - wide, bottom + 4, wide, 4);
    } else {
      pen.fillStyle = COLOURS.answer;
      pen.fillRect(at - size / 2, y(value(hop)) - size / 2, size, size);
    }
    if (hop.same === DIFFERS) {
      pen.fillStyle = COLOURS.bad;
      pen.fillRect(at - 1, top, 2, bottom - top);
    }
  }
}

// The ring's slots as a circle: what waits, between where the loop reads and where the sensor writes.
function drawRing(plot, student, books) {
  const { pen } = plot, slots = student.spec.ring, x = plot.width / 2, y = plot.height / 2;
  const outer = Math.min(x, y) - 9, turn = (slot) => (slot / slots) * 2 * Math.PI - Math.PI / 2;
  plot.clear();
  pen.lineWidth = 9;
  pen.strokeStyle = COLOURS.fill;
  pen.beginPath();
  pen.arc(x, y, outer, 0, 2 * Math.PI);
  pen.stroke();
  const read = student.calls.read_slot(), write = student.calls.write_slot();
  const waiting = Math.min(books.waiting, slots);
  if (waiting) {
    pen.strokeStyle = waiting > slots * 0.9 ? COLOURS.lost : COLOURS.raw;
    pen.beginPath();
    pen.arc(x, y, outer, turn(write - waiting), turn(write));
    pen.stroke();
  }
  for (const [slot, colour, inward] of [[write, COLOURS.raw, false], [read, COLOURS.answer, true]]) {
    const a = turn(slot), from = inward ? outer - 9 : outer + 1, to = inward ? outer + 1 : outer + 9;
    pen.strokeStyle = colour;
    pen.lineWidth = 3;
    pen.beginPath();
    pen.moveTo(x + from * Math.cos(a), y + from * Math.sin(a));
    pen.lineTo(x + to * Math.cos(a), y + to * Math.sin(a));
    pen.stroke();
  }
  pen.textBaseline = "middle";
  plot.text(`${waiting}`, x, y - 9, "center", COLOURS.ink);
  plot.text(`of ${slots}`, x, y + 5, "center");
  plot.text("wait", x, y + 18, "center");
}
