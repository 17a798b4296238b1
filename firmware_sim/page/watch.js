// The page: what is played, how fast, and what is shown of it.

const $ = (id) => document.getElementById(id);
const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
// What the waves show, by speed: a pulse is seen as a pulse as long as one can follow it.
const SPANS = [[5, 10], [20, 30], [100, 60], [Infinity, 180]];
const KEPT_S = 200;
// Work per picture; what does not fit is not caught up with, and the speed says so.
const FRAME_MS = 13, BUSY_SHARE = 0.5, TEXT_EVERY_MS = 120, LONGEST_FRAME_S = 0.25;

const faults = { ...NO_FAULTS };
const state = { run: null, students: [], playing: false, ended: false, due: 0, before: 0, told: 0, busy: false, pace: 0, own: null, seconds: 0, opening: 0 };
const rawTrace = new Trace(DATA.rate, KEPT_S), seenTrace = new Trace(DATA.model_rate, KEPT_S);
let rawPlot, seenPlot, cards;

function speed() {
  return SPEEDS[Number($("pace").value)];
}

// --- playing ---

function begin(stretch) {
  state.run = new Run(stretch, state.students, $("policy").selectedIndex);
  state.seconds = stretch.counts.length / DATA.rate;
  state.due = 0;
  state.ended = false;
  rawTrace.clear();
  seenTrace.clear();
  show(true);
}

async function choose(index) {
  const turn = ++state.opening, stretch = index === "own" ? state.own : await openStretch(Number(index));
  if (turn === state.opening) begin(stretch);
}

function setPlaying(playing) {
  if (playing && state.ended) begin(state.run.stretch);
  state.playing = playing;
  $("play").textContent = playing ? "Pause" : "Play";
}

function stepOnce() {
  return state.run.step(faults, keepRaw, keepSeen);
}

function keepRaw(out, busy) {
  rawTrace.put(out.from, out.seen);
  state.busy = busy;
}

function keepSeen(student, sequence) {
  if (student !== state.students[0]) return;
  seenTrace.put(Math.max(0, Math.round(((sequence + 1) * DATA.model_rate) / DATA.rate) - DATA.hop), student.input);
}

async function finished() {
  state.ended = true;
  setPlaying(false);
  show(true);
  const who = $("who"), next = who.selectedIndex + 1;
  if (!$("onward").checked || next >= who.options.length) return say("The recording is over.");
  who.selectedIndex = next;
  await choose(who.value);
  setPlaying(true);
}

function frame(now) {
  const passed = Math.min((now - state.before) / 1000, LONGEST_FRAME_S);
  state.before = now;
  if (state.playing && state.run) {
    const began = state.run.time, until = performance.now() + Math.max(FRAME_MS, BUSY_SHARE * 1000 * passed);
    state.due += passed * speed();
    let over = false;
    while (!over && state.run.time < state.due) {
      over = !stepOnce();
      if (performance.now() > until) state.due = Math.min(state.due, state.run.time);
    }
    if (passed > 0) state.pace += 0.1 * ((state.run.time - began) / passed - state.pace);
    show(false);
    if (over) finished();
  }
  requestAnimationFrame(frame);
}

// --- showing ---

let lastText = 0;
function show(whole) {
  const { run } = state;
  if (!run) return;
  const span = SPANS.find(([most]) => speed() <= most)[1], now = Math.max(run.time, span);
  const full = 2 ** DATA.bits - 1;
  drawWave(rawPlot, rawTrace, now, span, { colour: COLOURS.raw, rails: [0, full] });
  drawWave(seenPlot, seenTrace, now, span, { colour: COLOURS.seen, rails: [-128, 127], fixed: [-128, 127] });
  for (const card of cards) drawRing(card.ring, card.student, card.student.books());
  const at = performance.now();
  if (!whole && at - lastText < TEXT_EVERY_MS) return;
  lastText = at;
  for (const card of cards) {
    card.show();
    drawTrend(card.trend, card.student, run.stretch, state.seconds, run.time);
  }
  $("way").style.width = `${Math.min(100, (100 * run.time) / state.seconds)}%`;
  $("raw-said").textContent = `${state.busy ? "processor busy, " : ""}${clock(run.time)} of ${clock(state.seconds)}`;
  tellPace();
  tellVerdict();
}

class Card {
  constructor(section, student) {
    this.section = section;
    this.student = student;
    this.trend = new Plot(section.querySelector(".trend"));
    this.ring = new Plot(section.querySelector(".ring"));
    this.reasons = [...section.querySelectorAll(".reasons li")].map((li) => [Number(li.dataset.bit), li]);
    this.book = Object.fromEntries([...section.querySelectorAll("[data-book]")].map((dd) => [dd.dataset.book, dd]));
    this.stack = ["used", "gated", "lost", "open"].map((name) => [name, section.querySelector(`.stack .${name}`)]);
    this.value = Object.fromEntries([...section.querySelectorAll("[data-answer]")].map((e) => [e.dataset.answer, e]));
    this.group = Object.fromEntries([...section.querySelectorAll("[data-group]")].map((e) => [e.dataset.group, e]));
    this.needle = Object.fromEntries([...section.querySelectorAll("[data-needle]")].map((e) => [e.dataset.needle, e]));
    this.reference = section.querySelector("[data-part=reference]");
    this.same = section.querySelector("[data-part=same]");
    this.sum = section.querySelector("[data-part=sum]");
  }

  classes(group) {
    return [...this.student.spec.answers.keys()].filter((i) => this.student.spec.answers[i].group === group);
  }

  chance(hop, answer, i) {
    const weight = (k) => Math.exp(answer.gain * (hop.answers[k] - hop.answers[i]));
    return 1 / this.classes(answer.group).reduce((sum, k) => sum + weight(k), 0);
  }

  show() {
    const { student } = this, { reference, referenceName } = state.run.stretch;
    this.reference.textContent = reference.length ? `by ${referenceName.split(/[,(]/)[0].trim()}` : "";
    const hop = student.hops[student.hops.length - 1];
    const reasons = hop ? hop.reasons : 0;
    this.section.classList.toggle("hushed", !hop || reasons !== 0);
    for (const [bit, li] of this.reasons) li.classList.toggle("on", (reasons & bit) !== 0);
    student.spec.answers.forEach((answer, i) => {
      const q = hop ? hop.answers[i] : null, value = this.value[answer.name], needle = this.needle[answer.name];
      if (needle) needle.style.left = `${hop ? ((q + 128) / 255) * 100 : 50}%`;
      if (q === null || (reasons && answer.kind !== "logit" && answer.kind !== "class")) value.textContent = "–";
      else if (answer.kind === "line") value.textContent = Math.round(answer.offset + answer.gain * q);
      else if (answer.kind === "logit") value.textContent = `${answer.gain * q > answer.threshold ? "" : "not "}${answer.word}`;
      else if (answer.kind === "class") value.textContent = `${Math.round(100 * this.chance(hop, answer, i))} %`;
      else value.textContent = (answer.gain * q).toFixed(2);
    });
    for (const [name, place] of Object.entries(this.group)) {
      const most = this.classes(name).reduce((a, b) => (hop && hop.answers[b] > hop.answers[a] ? b : a));
      place.textContent = hop && !reasons ? student.spec.answers[most].title : "–";
    }
    const books = student.books(), lost = books.dropped + books.discarded, open = books.pending + books.waiting;
    const said = { ...books, lost, open, shown: `${books.shown.toLocaleString("en")} of ${books.hops.toLocaleString("en")}` };
    for (const [name, dd] of Object.entries(this.book)) dd.textContent = said[name].toLocaleString("en");
    for (const [name, bar] of this.stack) bar.style.width = `${books.received ? (100 * said[name]) / books.received : 0}%`;
    const balanced = books.received === books.used + books.gated + lost + open;
    this.sum.textContent = balanced ? "every sample is accounted for" : "SAMPLES ARE MISSING FROM THE BOOKS";
    this.sum.classList.toggle("wrong", !balanced);
    const held = student.equal + student.differ;
    this.same.dataset.state = student.differ ? "differs" : held ? "equal" : "none";
    this.same.textContent = student.differ
      ? `${student.differ.toLocaleString("en")} of ${held.toLocaleString("en")} outputs differ`
      : held ? `${student.equal.toLocaleString("en")} outputs equal` : "";
  }
}

function tellVerdict() {
  const { run, students } = state;
  const equal = students.reduce((n, s) => n + s.equal, 0), differ = students.reduce((n, s) => n + s.differ, 0);
  const outputs = (n) => `${n.toLocaleString("en")} output${n === 1 ? "" : "s"}`;
  let kind, head, text;
  if (differ) [kind, head, text] = ["differs", "Bytes differ", `${outputs(differ)} of ${(equal + differ).toLocaleString("en")} are not the simulated watch's`];
  else if (!run.stretch.golden) [kind, head, text] = ["wait", "Your own recording", "there are no golden bytes to hold it against"];
  else if (run.policy !== 0) [kind, head, text] = ["disturbed", `Gaps: ${$("policy").selectedOptions[0].text}`, "the golden bytes are those of a line over each gap"];
  else if (run.disturbedAt !== null) [kind, head, text] = ["disturbed", `Disturbed since ${clock(run.disturbedAt)}`, `${equal ? `${outputs(equal)} equal until then; start again to compare` : "start again without faults to compare"}`];
  else if (!equal) [kind, head, text] = ["wait", "No output yet", "every byte will be held against the golden ones"];
  else [kind, head, text] = ["equal", "Every byte equal", `${outputs(equal)} of ${students.map((s) => s.spec.name).join(" and ")}, as the golden ones`];
  const verdict = $("verdict");
  if (verdict.dataset.state !== kind) say(`${head}: ${text}`);
  verdict.dataset.state = kind;
  $("verdict-head").textContent = head;
  $("verdict-text").textContent = text;
}

function say(words) {
  $("said").textContent = words;
}

function tellPace() {
  const asked = speed(), behind = state.playing && state.pace > 0 && state.pace < 0.8 * asked && state.run.time > asked;
  $("pace-said").textContent = behind ? `${Math.round(state.pace)} of ${asked}x` : `${asked}x`;
}

// --- settings ---

function readFaults() {
  for (const input of document.querySelectorAll(".fault input")) {
    const row = input.closest(".fault"), on = input.type === "checkbox" ? input.checked : Number(input.value) !== Number(input.dataset.neutral);
    faults[input.name] = input.type === "checkbox" ? input.checked : Number(input.value);
    row.classList.toggle("on", on);
    const output = row.querySelector("output");
    if (!output) continue;
    output.textContent = on ? `${input.value} ${input.dataset.unit}` : "none";
    input.setAttribute("aria-valuetext", output.textContent);
  }
  $("mend").disabled = !disturbs(faults);
}

function mend() {
  for (const input of document.querySelectorAll(".fault input")) {
    if (input.type === "checkbox") input.checked = false;
    else input.value = input.dataset.neutral;
  }
  readFaults();
  $("fault-gap").focus(); // the button that had it is off now
}

function listen() {
  $("play").addEventListener("click", () => setPlaying(!state.playing));
  $("again").addEventListener("click", () => {
    begin(state.run.stretch);
    setPlaying(true);
  });
  $("who").addEventListener("change", () => choose($("who").value));
  $("pace").addEventListener("input", () => {
    $("pace").setAttribute("aria-valuetext", `${speed()} times real time`);
    state.pace = speed();
    show(true);
  });
  for (const input of document.querySelectorAll(".fault input")) input.addEventListener("input", readFaults);
  $("mend").addEventListener("click", mend);
  $("policy").addEventListener("change", () => {
    begin(state.run.stretch); // the firmware takes it when it is started
    setPlaying(true);
  });
  const fit = () => {
    for (const plot of [rawPlot, seenPlot, ...cards.flatMap((c) => [c.trend, c.ring])]) plot.fit();
    show(true);
  };
  new ResizeObserver(fit).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readColours();
    show(true);
  });
}

// --- files ---

let table = null;

async function offer(file) {
  try {
    table = { ...parseTable(await file.text(), file.name), file: file.name };
  } catch (problem) {
    table = null;
    return refuse(problem.message);
  }
  const column = $("ask-column");
  column.replaceChildren(...table.names.map((name, i) => new Option(name, i, false, i === table.ppgAt)));
  $("ask-rate").value = table.rate ?? "";
  ask(`${file.name}: ${table.columns[0].length.toLocaleString("en")} rows.`, true);
}

function refuse(why) {
  ask(why, false);
}

function ask(words, playable) {
  $("ask-said").textContent = words;
  for (const label of $("ask").querySelectorAll("label")) label.hidden = !playable;
  $("ask-rate").disabled = !playable;
  $("ask-go").hidden = !playable;
  $("ask-no").textContent = playable ? "Cancel" : "Close";
  if (!$("ask").open) $("ask").showModal();
  $(!playable ? "ask-no" : table.rate ? "ask-go" : "ask-rate").focus();
}

function takeFile(event) {
  event.preventDefault();
  const rate = Number($("ask-rate").value);
  try {
    state.own = stretchOf(table.columns[Number($("ask-column").value)], rate, table.file, $("ask-flip").checked);
  } catch (problem) {
    return refuse(problem.message);
  }
  const who = $("who"), old = who.querySelector("option[value=own]");
  if (old) old.remove();
  who.add(new Option(`${table.file} (yours)`, "own", false, true));
  $("ask").close();
  begin(state.own);
  setPlaying(true);
}

function listenForFiles() {
  $("file").addEventListener("change", (event) => {
    if (event.target.files.length) offer(event.target.files[0]);
    event.target.value = "";
  });
  $("ask-no").addEventListener("click", () => $("ask").close());
  $("ask").querySelector("form").addEventListener("submit", takeFile);
  const dropping = (on) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", on);
  };
  document.addEventListener("dragover", dropping(true));
  document.addEventListener("dragleave", dropping(false));
  document.addEventListener("drop", (event) => {
    dropping(false)(event);
    if (event.dataTransfer.files.length) offer(event.dataTransfer.files[0]);
  });
}

// --- for tests and the console: a run as fast as it goes, with everything that went in and came out ---

async function playThrough(index, some = {}, seconds = Infinity, policy = "interpolate") {
  const stretch = index === "own" ? state.own : await openStretch(index);
  const students = await Promise.all(DATA.students.map(Student.make)), run = new Run(stretch, students, POLICIES.indexOf(policy));
  const script = [], outputs = students.map(() => []);
  const keep = (student, sequence, embedding) => {
    const hop = student.hops[student.hops.length - 1];
    outputs[students.indexOf(student)].push({ input: [...student.input], embedding: [...embedding], answers: [...hop.answers], reasons: hop.reasons, sequence, same: hop.same });
  };
  const settings = { ...NO_FAULTS, ...some }, began = performance.now();
  const log = (out, busy) => script.push({ bursts: out.bursts.map((b) => [b.sequence, [...b.counts]]), busy });
  while (run.time < seconds && run.step(settings, log, keep));
  const took = (performance.now() - began) / 1000;
  return { script, took, students: students.map((s, i) => ({ name: s.spec.name, outputs: outputs[i], books: s.books(), equal: s.equal, differ: s.differ })) };
}

// --- start ---

async function main() {
  readColours();
  state.students = await Promise.all(DATA.students.map(Student.make));
  rawPlot = new Plot($("raw"));
  seenPlot = new Plot($("seen"));
  cards = state.students.map((student, i) => new Card(document.querySelector(`[data-student="${i}"]`), student));
  readFaults();
  listen();
  listenForFiles();
  $("pace").dispatchEvent(new Event("input"));
  await choose($("who").value);
  // It moves by itself only where nobody has asked that nothing should.
  setPlaying(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  requestAnimationFrame((now) => {
    state.before = now;
    frame(now);
  });
}

const onwrist = { ready: main(), play: playThrough, state };
onwrist.ready.catch((problem) => {
  $("verdict").dataset.state = "differs";
  $("verdict-head").textContent = "Does not run in this browser";
  $("verdict-text").textContent = String(problem.message ?? problem);
});
