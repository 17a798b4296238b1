"""The simulated watch: ring buffer, sensor, gaps, hops; every sample is accounted for."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onwrist.errors import ConfigError, RecordingError
from onwrist.export.sources.watch_rules import MAX_BRIDGE_S, capacity_for
from onwrist.firmware_sim.runtimes.hop import NumpyStep
from onwrist.firmware_sim.watch.faults import (
    KINDS,
    Faults,
    Lost,
    Stall,
    artefacts,
    make_fault,
    parse_faults,
    read_faults,
)
from onwrist.firmware_sim.watch.ring import RingBuffer, Taken
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.firmware_sim.watch.watch import Watch, WatchConfig, Why
from onwrist.firmware_sim.watch.windows import Windows
from onwrist.quantize.integers.training import load_integers
from onwrist.signals.front_end.fixed import IN_COUNTS, FixedFrontEnd, front_end_parity
from onwrist.signals.front_end.floating import WATCH_RATES_HZ, condition
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel, Recording


class RingAgainstDeque(RuleBasedStateMachine):
    """The ring behaves as an unbounded queue from which the oldest are lost."""

    def __init__(self):
        super().__init__()
        self.capacity = 7
        self.ring, self.queue = RingBuffer(self.capacity), deque()
        self.sent = self.taken = self.lost = 0

    @rule(count=st.integers(0, 20))
    def push(self, count):
        numbers = range(self.sent, self.sent + count)
        self.ring.push(self.sent, np.array([n * 3 for n in numbers], np.int32))
        self.queue.extend(numbers)
        self.sent += count
        while len(self.queue) > self.capacity:
            self.queue.popleft()
            self.lost += 1

    @rule(limit=st.one_of(st.none(), st.integers(0, 9)))
    def pop(self, limit):
        got = self.ring.pop(limit)
        expected = [
            self.queue.popleft() for _ in range(min(len(self.queue), len(self.queue) if limit is None else limit))
        ]
        assert got.sequence.tolist() == expected
        assert got.counts.tolist() == [3 * n for n in expected]
        self.taken += len(got)
        assert self.ring.dropped == self.lost

    @precondition(lambda self: self.sent)
    @invariant()
    def nothing_is_unaccounted_for(self):
        assert len(self.ring) == len(self.queue) <= self.capacity
        assert self.sent == self.taken + self.lost + len(self.queue)


TestRing = RingAgainstDeque.TestCase
TestRing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_full_is_not_empty():
    ring = RingBuffer(4)
    ring.push(0, np.arange(4, dtype=np.int32))
    assert len(ring) == 4
    assert ring.pop().counts.tolist() == [0, 1, 2, 3]
    assert len(ring) == 0
    assert ring.dropped == 0


def test_capacity_follows_from_the_rates():
    assert capacity_for(64, 16, 1.0) == 144
    assert capacity_for(125, 25, 0.2) == 75
    with pytest.raises(ConfigError):
        RingBuffer(0)


def recording(samples: np.ndarray, rate: float = 64) -> Recording:
    return Recording(Channel(samples.astype(np.float32), rate), "p", "made up")


def pulse(seconds: float, rate: float = 64) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return np.sin(2 * np.pi * 1.3 * t) + 0.4 * np.sin(2 * np.pi * 2.6 * t)


@pytest.mark.parametrize("rate", WATCH_RATES_HZ)
def test_sensor_sends_every_sample_once_in_order(rate):
    sensor = Sensor(recording(pulse(20)), SensorConfig(rate, fifo=10, bits=18))
    bursts = list(sensor.bursts())
    np.testing.assert_array_equal(np.concatenate([b.counts for b in bursts]), sensor.counts)
    numbers = np.concatenate([np.arange(b.sequence, b.sequence + len(b.counts)) for b in bursts])
    np.testing.assert_array_equal(numbers, np.arange(len(sensor)))
    assert sensor.counts.min() >= 0
    assert sensor.counts.max() < 2**18
    assert sensor.seconds == pytest.approx(20, abs=0.1)


def test_counts_are_replayed_as_they_are():
    held = np.round(100_000 + 3_000 * pulse(20)).astype(np.float32)
    sensor = Sensor(recording(held), SensorConfig(64, bits=18, replay="counts"))
    np.testing.assert_array_equal(sensor.counts, held)
    turned = Sensor(recording(held), SensorConfig(64, bits=18, replay="counts", when_blood_comes="fall"))
    np.testing.assert_array_equal(turned.counts, 2**18 - 1 - held)
    with pytest.raises(RecordingError, match="counts from 0 to 65,535"):
        Sensor(recording(held), SensorConfig(64, bits=16, replay="counts"))


@pytest.mark.parametrize("rate", [40, 99, 250, 1000])
def test_any_whole_rate_is_a_sensors(rate):
    counts = Sensor(recording(pulse(20)), SensorConfig(rate)).counts
    fixed = FixedFrontEnd(rate, 19).push(counts)
    assert len(fixed) == pytest.approx(20 * 25, abs=2)
    found = front_end_parity(counts, rate, 19)
    assert found.equal > 0.999
    assert found.largest <= 1


def test_missing_samples_are_never_sent():
    x = pulse(20)
    x[300:400] = np.nan
    sensor = Sensor(recording(x), SensorConfig(64, fifo=16))
    numbers = np.concatenate([np.arange(b.sequence, b.sequence + len(b.counts)) for b in sensor.bursts()])
    assert set(range(len(x))) - set(numbers) == set(range(300, 400))


def test_settings_out_of_range_are_refused():
    for bad in ({"rate_hz": 20}, {"rate_hz": 1001}, {"fifo": 0}, {"bits": 40}):
        with pytest.raises(ConfigError):
            SensorConfig(**bad)
    with pytest.raises(ConfigError, match="multiple"):
        WatchConfig(hop_s=0.3).hop_samples(5)


def watch(artifacts, **more) -> Watch:
    config = WatchConfig(**more)
    hop = config.hop_samples(artifacts.model.stride)
    return Watch(artifacts.model, NumpyStep(artifacts.model, hop), config, witness=True)


def windows_of(hops, what, window=400):
    chunks, first = np.stack([getattr(h, what) for h in hops]), np.array([h.first for h in hops])
    return Windows(chunks, first, window)[:]


@given(seed=st.integers(0, 2**32 - 1), hop=st.sampled_from([5, 25, 60, 250]), window=st.integers(1, 400))
def test_windows_made_later_are_those_that_were_there(seed, hop, window):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    chunks, first = rng.integers(-128, 128, (n, hop)).astype(np.int8), rng.random(n) < 0.2
    first[0] = True
    now, rows = np.zeros(window, np.int8), []
    for chunk, anew in zip(chunks, first, strict=True):
        now = np.concatenate([np.zeros_like(now) if anew else now, chunk])[-window:]
        rows.append(now)
    windows = Windows(chunks, first, window)
    assert len(windows) == n
    np.testing.assert_array_equal(np.concatenate([windows[b] for b in windows.batches(7)]), np.stack(rows))


@pytest.mark.parametrize("rate", WATCH_RATES_HZ)
def test_windows_are_the_front_ends_output_at_every_hop(artifacts, rate):
    """The watch, fed in bursts, gives the model what the front end gives for the whole recording."""
    config = SensorConfig(rate, fifo=7)
    sensor = Sensor(recording(pulse(40)), config)
    hops = list(watch(artifacts, hop_s=2.0, sensor=config).run(sensor))
    whole, real = FixedFrontEnd(rate, config.bits).push(sensor.counts), condition(sensor.counts, rate, IN_COUNTS)
    assert len(hops) == len(whole) // 50
    windows, reals = windows_of(hops, "chunk"), windows_of(hops, "real")
    for k, (hop, window, seen) in enumerate(zip(hops, windows, reals, strict=True)):
        end = 50 * (k + 1)
        before = max(0, 400 - end)
        np.testing.assert_array_equal(
            window, np.concatenate([np.zeros(before, np.int8), whole[end - 400 + before : end]])
        )
        np.testing.assert_allclose(seen[before:], real[end - 400 + before : end], atol=1e-5)
        assert hop.valid == (end >= 400)
        assert hop.time_s == pytest.approx(end / 25, abs=0.3)


def test_hop_is_selectable(artifacts):
    sensor = Sensor(recording(pulse(30)))
    counts = {h: len(list(watch(artifacts, hop_s=h).run(sensor))) for h in (0.2, 1.0, 5.0)}
    assert counts == {0.2: 150, 1.0: 30, 5.0: 6}


def interrupted(seconds: float, first: int, count: int) -> Sensor:
    x = pulse(seconds)
    x[first : first + count] = np.nan
    return Sensor(recording(x))


@pytest.mark.parametrize("gap", ["interpolate", "hold", "reset"])
def test_a_short_gap_is_bridged_as_asked(artifacts, gap):
    sensor = interrupted(40, 1280, 32)  # half a second
    w = watch(artifacts, gap=gap)
    hops = list(w.run(sensor))
    assert w.counters.accounted
    assert w.counters.received == len(sensor) - 32
    assert w.counters.bridged == (0 if gap == "reset" else 32)
    assert w.counters.resets == (gap == "reset")
    assert len(hops) == (39 if gap == "reset" else 40)
    assert hops[-1].valid


def test_interpolation_is_closer_to_what_was_lost_than_holding(artifacts):
    truth = [h.chunk for h in watch(artifacts).run(Sensor(recording(pulse(40))))]
    errors = {}
    for gap in ("interpolate", "hold"):
        hops = list(watch(artifacts, gap=gap).run(interrupted(40, 1283, 8)))
        errors[gap] = sum(float(np.abs(h.chunk.astype(int) - t).sum()) for h, t in zip(hops, truth, strict=True))
    assert errors["interpolate"] < errors["hold"]


def test_a_long_gap_starts_anew_and_says_so(artifacts):
    w = watch(artifacts)
    hops = list(w.run(interrupted(60, 1600, 64 * 5)))
    assert w.counters.resets == 1
    assert w.counters.bridged == 0
    assert w.counters.accounted
    after = [h for h in hops if h.time_s > 30]
    assert sum(h.first for h in hops) == 2
    assert all(h.why & Why.WARMING for h in after if h.time_s < 30 + 15.5)
    assert any(h.valid for h in after)
    assert MAX_BRIDGE_S < 5


def test_a_late_consumer_loses_the_oldest_and_counts_them(artifacts):
    w = watch(artifacts)
    capacity = w.ring.capacity
    w.ring.push(0, np.zeros(capacity + 50, np.int32))
    list(w.process(w.ring.pop()))
    assert w.counters.dropped == 50
    assert list(w.process(Taken(np.zeros(0, np.int64), np.zeros(0, np.int32)))) == []


def test_a_recording_at_every_rate_gives_about_the_same_embedding(artifacts, recordings):
    """The watch's rate is a detail: embeddings of one person at 25 and 125 Hz are close, of two persons not so."""
    from onwrist.quantize.judging.evaluate import cosine

    def embed(name: str, rate: int) -> np.ndarray:
        sensor = Sensor(read_recording(recordings / name), SensorConfig(rate, fifo=5))
        hops = list(watch(artifacts, hop_s=5.0, sensor=SensorConfig(rate, fifo=5)).run(sensor))
        return np.stack([h.embedding for h in hops if h.valid][:40]).astype(float)

    a, b, other = embed("bidmc_13.npz", 25), embed("bidmc_13.npz", 125), embed("t477l.npz", 125)
    assert np.median(cosine(a, b)) > 0.9
    n = min(len(b), len(other))
    assert np.median(cosine(b[:n], other[:n])) < np.median(cosine(a, b)) - 0.1


# --- time ---


def test_a_processor_that_keeps_up_misses_nothing(artifacts):
    w = watch(artifacts, service_s=0.6)
    hops = list(w.run(Sensor(recording(pulse(30)))))
    assert (w.counters.missed, w.counters.dropped, w.counters.backlog) == (0, 0, 1)
    assert all(h.done_s - h.time_s == pytest.approx(0.6, abs=0.26) for h in hops)


def test_a_processor_that_is_too_slow_falls_behind_and_loses_samples(artifacts):
    w = watch(artifacts, service_s=1.7)
    sensor = Sensor(recording(pulse(90)))
    hops = list(w.run(sensor))
    assert w.counters.missed > len(hops) / 2
    assert w.counters.dropped > 0
    assert w.counters.accounted
    assert w.ring.high_water == w.ring.capacity
    # 90 s of signal hold 53 hops of 1.7 s, and what waits at the end.
    assert len(hops) <= 90 / 1.7 + 4


# --- faults ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_changes_the_run_and_no_sample_is_lost_from_the_books(recordings, kind):
    source, model = read_recording(recordings / "v200s.npz"), load_integers("band")
    often = {"every_s": 40.0} if "every_s" in KINDS[kind].__dataclass_fields__ else {}
    faults = Faults((make_fault(kind, often),), seed=3)

    def run(f: Faults) -> list:
        sensor = Sensor(source, SensorConfig(), f)
        w = Watch(model, NumpyStep(model, 25), WatchConfig())
        found = [(h.time_s, h.done_s, int(h.why), h.chunk.tobytes(), h.answers.tobytes()) for h in w.run(sensor)]
        assert w.counters.accounted
        assert w.counters.received == sensor.sent
        return [*found, w.counters, w.ring.high_water]

    faulty = run(faults)
    assert faulty == run(faults)
    assert faulty != run(Faults())


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), max_size=5),
    seed=st.integers(0, 2**32 - 1),
    fifo=st.integers(1, 64),
    hop=st.sampled_from([0.2, 1.0, 3.0]),
    gap=st.sampled_from(["interpolate", "hold", "reset"]),
)
def test_any_faults_any_seed_the_books_balance_and_the_stream_is_the_window(kinds, seed, fifo, hop, gap):
    model = load_integers("band")
    often = {k: {"every_s": 13.0} if "every_s" in KINDS[k].__dataclass_fields__ else {} for k in kinds}
    faults = Faults(tuple(make_fault(k, often[k]) for k in kinds), seed)
    config = WatchConfig(hop, SensorConfig(64, fifo), gap, service_s=0.05)
    sensor = Sensor(recording(pulse(45)), config.sensor, faults)
    w = Watch(model, NumpyStep(model, config.hop_samples(5)), config, witness=True)
    hops = list(w.run(sensor))
    assert w.counters.accounted
    assert w.counters.received == sensor.sent
    assert w.counters.hops == len(hops)
    if hops:
        embedding, answers = model.run(windows_of(hops, "chunk"))
        np.testing.assert_array_equal(np.stack([h.embedding for h in hops]), embedding)
        np.testing.assert_array_equal(np.stack([h.answers for h in hops]), answers)


def test_a_soak_with_every_fault_keeps_its_memory_and_its_books(recordings):
    """Five rounds take the memory of one: nothing in the watch or the sensor grows with time."""
    import tracemalloc

    source = read_recording(recordings / "v200s.npz")
    faults = Faults(tuple(make_fault(k, {"every_s": 97.0} if k == "clock_jump" else {}) for k in KINDS), seed=1)
    peaks = []
    for repeat in (1, 5):
        sensor = Sensor(source, SensorConfig(), faults, repeat=repeat)
        model = load_integers("band")
        w = Watch(model, NumpyStep(model, 25), WatchConfig(service_s=0.1))
        tracemalloc.start()
        deque(w.run(sensor), 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert w.counters.accounted
        assert w.counters.received == sensor.sent
        assert w.counters.resets > 0
        assert w.counters.dropped > 0
    assert peaks[1] < 1.3 * peaks[0]


def test_a_recipe_is_the_same_as_its_words(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('seed = 5\n[[fault]]\nkind = "lost"\nshare = 0.1\n[[fault]]\nkind = "stall"\n')
    assert read_faults(path) == parse_faults(("lost:share=0.1", "stall"), 5) == Faults((Lost(0.1), Stall()), 5)


@pytest.mark.parametrize(
    "text",
    [
        '[[fault]]\nkind = "gremlin"', '[[fault]]\nkind = "lost"\nshare = "many"', '[[fault]]\nkind = "lost"\nrate = 1',
        "fault = 3", "[[fault]]\nshare = 1", "nonsense", "seed = 'x'", '[[fault]]\nkind = "stall"\nevery_s = 0', "other = 1",
    ],
)  # fmt: skip
def test_a_bad_recipe_is_refused(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        read_faults(path)


def test_artefacts_are_of_moving_wrists():
    found = artefacts()
    assert len(found) > 5
    assert all(abs(w.std() - 1) < 1e-6 and len(w) == 20 * rate for w, rate in found)


def test_reasons_are_named(artifacts, recordings):
    source = read_recording(recordings / "v200s.npz")

    def reasons(*words: str) -> set[str]:
        sensor = Sensor(source, SensorConfig(), parse_faults(words))
        why = [h.why for h in watch(artifacts).run(sensor)]
        return {f.name for f in Why if any(w & f for w in why[20:])}

    assert "CLIPPED" in reasons("saturation:seconds=20,every_s=60")
    assert "BRIDGED" in reasons("lost:share=0.2")
    assert "FLAT" in reasons("off_wrist:seconds=100,every_s=200,noise=0")
    assert "WARMING" in reasons("clock_jump:every_s=100")
