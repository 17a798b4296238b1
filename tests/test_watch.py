"""The simulated watch: ring buffer, sensor, gaps, hops; every sample is accounted for."""

from collections import deque

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware_sim.ring import RingBuffer, Taken, capacity_for
from firmware_sim.runtimes import Numpy
from firmware_sim.sensor import Sensor, SensorConfig
from firmware_sim.watch import MAX_HOLD_S, Watch, WatchConfig
from signals.errors import ConfigError
from signals.frontend import WATCH_RATES_HZ, condition
from signals.readers import read_recording
from signals.recording import Channel, Recording


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


def test_missing_samples_are_never_sent():
    x = pulse(20)
    x[300:400] = np.nan
    sensor = Sensor(recording(x), SensorConfig(64, fifo=16))
    numbers = np.concatenate([np.arange(b.sequence, b.sequence + len(b.counts)) for b in sensor.bursts()])
    assert set(range(len(x))) - set(numbers) == set(range(300, 400))


def test_settings_out_of_range_are_refused():
    for bad in ({"rate_hz": 60}, {"fifo": 0}, {"bits": 40}):
        with pytest.raises(ConfigError):
            SensorConfig(**bad)
    with pytest.raises(ConfigError, match="multiple"):
        WatchConfig(hop_s=0.3).hop_samples(5)


def watch(artifacts, **more) -> Watch:
    return Watch(artifacts.model, Numpy(artifacts.model), WatchConfig(**more))


@pytest.mark.parametrize("rate", WATCH_RATES_HZ)
def test_windows_are_the_front_ends_output_at_every_hop(artifacts, rate):
    """The watch, fed in bursts, gives the model what the front end gives for the whole recording."""
    sensor = Sensor(recording(pulse(40)), SensorConfig(rate, fifo=7))
    hops = list(watch(artifacts, hop_s=2.0, sensor=SensorConfig(rate, fifo=7)).run(sensor))
    whole = condition(sensor.counts, rate)
    assert len(hops) == len(whole) // 50
    for k, hop in enumerate(hops):
        end = 50 * (k + 1)
        expected = np.concatenate([np.zeros(max(0, 400 - end), np.float32), whole[max(0, end - 400) : end]])
        np.testing.assert_allclose(hop.real, expected, atol=1e-5)
        assert hop.valid == (end >= 400)
        assert hop.time_s == pytest.approx(end / 25, abs=0.3)


def test_hop_is_selectable(artifacts):
    sensor = Sensor(recording(pulse(30)))
    counts = {h: len(list(watch(artifacts, hop_s=h).run(sensor))) for h in (0.2, 1.0, 5.0)}
    assert counts == {0.2: 150, 1.0: 30, 5.0: 6}


def test_a_short_gap_is_held_and_time_goes_on(artifacts):
    x = pulse(40)
    x[1280 : 1280 + 32] = np.nan  # half a second
    sensor = Sensor(recording(x))
    w = watch(artifacts)
    hops = list(w.run(sensor))
    assert w.counters.held == 32
    assert w.counters.resets == 0
    assert w.counters.received + w.counters.held + w.counters.dropped == len(sensor)
    assert len(hops) == 40
    assert hops[-1].valid


def test_a_long_gap_starts_anew_and_says_so(artifacts):
    x = pulse(60)
    x[1600 : 1600 + 64 * 5] = np.nan
    sensor = Sensor(recording(x))
    w = watch(artifacts)
    hops = list(w.run(sensor))
    assert w.counters.resets == 1
    assert w.counters.held == 0
    after = [h for h in hops if h.time_s > 30]
    assert not any(h.valid for h in after if h.time_s < 30 + 15.5)
    assert any(h.valid for h in after)
    assert MAX_HOLD_S < 5


def test_a_late_consumer_loses_the_oldest_and_counts_them(artifacts):
    w = watch(artifacts)
    capacity = w.ring.capacity
    w.ring.push(0, np.zeros(capacity + 50, np.int32))
    list(w.process(w.ring.pop()))
    assert w.counters.dropped == 50
    assert w.counters.received == capacity
    assert list(w.process(Taken(np.zeros(0, np.int64), np.zeros(0, np.int32)))) == []


def test_a_recording_at_every_rate_gives_about_the_same_embedding(artifacts, recordings):
    """The watch's rate is a detail: embeddings of one person at 25 and 125 Hz are close, of two persons not so."""
    from quantize.evaluate import cosine

    def embed(name: str, rate: int) -> np.ndarray:
        sensor = Sensor(read_recording(recordings / name), SensorConfig(rate, fifo=5))
        hops = list(watch(artifacts, hop_s=5.0, sensor=SensorConfig(rate, fifo=5)).run(sensor))
        return np.stack([h.embedding for h in hops if h.valid][:40]).astype(float)

    a, b, other = embed("bidmc_13.npz", 25), embed("bidmc_13.npz", 125), embed("t477l.npz", 125)
    assert np.median(cosine(a, b)) > 0.9
    n = min(len(b), len(other))
    assert np.median(cosine(b[:n], other[:n])) < np.median(cosine(a, b)) - 0.1
