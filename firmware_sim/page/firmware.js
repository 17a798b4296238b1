// The firmware: a student's WebAssembly, and a run of all of them on one sensor.

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(...parts) {
  let sum = -1;
  for (const part of parts) {
    const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
    for (let i = 0; i < bytes.length; i++) sum = CRC[(sum ^ bytes[i]) & 255] ^ (sum >>> 8);
  }
  return (sum ^ -1) >>> 0;
}

const OUTPUT = 1;
const EQUAL = 1, DIFFERS = 2, UNKNOWN = 0;

class Student {
  constructor(spec, module) {
    this.spec = spec;
    this.calls = new WebAssembly.Instance(module).exports;
    const memory = this.calls.memory.buffer; // it never grows
    this.counts = new Int32Array(memory, this.calls.counts_at(), DATA.burst);
    this.input = new Int8Array(memory, this.calls.input_at(), DATA.hop);
    this.bookWords = new Uint32Array(memory, this.calls.books_at(), DATA.books.length);
    this.facts = new Uint32Array(2);
    this.start(0);
  }

  static async make(spec) {
    return new Student(spec, await WebAssembly.compile(await unpack(spec.wasm)));
  }

  // policy: of POLICIES by its place, as ONWRIST_GAP_... has them.
  start(policy) {
    Student.check(this.calls.init(policy));
    this.hops = [];
    this.equal = this.differ = 0;
  }

  static check(status) {
    if (status < 0) throw new Error(`the firmware answers ${status}`);
    return status;
  }

  push(burst) {
    this.counts.set(burst.counts);
    Student.check(this.calls.push(burst.sequence, burst.counts.length));
  }

  // The main loop of a watch: until nothing waits. `golden` holds the fingerprints of an undisturbed run, or is null.
  run(golden, met) {
    for (let status; (status = Student.check(this.calls.run())) > 0; ) {
      if (status !== OUTPUT) continue;
      const memory = this.calls.memory.buffer;
      const embedding = new Int8Array(memory, this.calls.embedding_at(), this.spec.embedding);
      const answers = new Int8Array(memory, this.calls.answers_at(), this.spec.answers.length);
      const reasons = this.calls.reasons(), sequence = this.calls.sequence() >>> 0;
      let same = UNKNOWN;
      if (golden) {
        this.facts.set([reasons, sequence]);
        same = crc32(this.input, embedding, answers, this.facts) === golden[this.hops.length] ? EQUAL : DIFFERS;
        this.equal += same === EQUAL;
        this.differ += same === DIFFERS;
      }
      this.hops.push({ time: (sequence + 1) / DATA.rate, answers: answers.slice(), reasons, same });
      if (met) met(this, sequence, embedding);
    }
  }

  books() {
    this.calls.take_books();
    return Object.fromEntries(DATA.books.map((name, i) => [name, this.bookWords[i]]));
  }
}

// A sensor and every student on it. `golden` is null where a recording came from outside.
class Run {
  constructor(stretch, students, policy = 0) {
    this.stretch = stretch;
    this.policy = policy;
    this.students = students;
    this.sensor = new Sensor(stretch);
    this.time = 0;
    this.disturbedAt = null;
    for (const student of students) student.start(policy);
  }

  // Play one FIFO read-out; false at the end.
  step(faults, seen, met) {
    if (this.disturbedAt === null && disturbs(faults)) this.disturbedAt = this.time;
    const out = this.sensor.read(faults);
    const busy = out && within(out.time, faults.stall);
    for (const student of this.students) {
      const golden = this.disturbedAt === null && this.policy === 0 ? this.stretch.golden?.[student.spec.name] ?? null : null;
      for (const burst of out?.bursts ?? []) {
        student.push(burst);
        if (!busy) student.run(golden, met);
      }
      if (!busy) student.run(golden, met);
    }
    if (!out) return false;
    this.time = out.time;
    if (seen) seen(out, busy);
    return true;
  }
}
