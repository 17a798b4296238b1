"""The fixed-point front end against its float design, and against every input that could break its widths."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from onwrist.errors import ConfigError
from onwrist.export.handoff.artifacts import contract, load_artifacts
from onwrist.export.handoff.golden import golden_vectors
from onwrist.firmware_sim.parity.gates import front_end_gates
from onwrist.firmware_sim.watch.sensor import Sensor, SensorConfig
from onwrist.signals.front_end.fixed import (
    ALPHA_BITS,
    IN_COUNTS,
    MAGNITUDE_BITS,
    MAX_BITS,
    FixedFrontEnd,
    design,
    front_end_parity,
)
from onwrist.signals.front_end.floating import WATCH_RATES_HZ, FrontEnd
from onwrist.signals.front_end.stages import POLE_BITS, TAP_BITS
from onwrist.signals.front_end.student_input import StudentInput
from onwrist.signals.recordings.readers import read_recording

INT32, INT64 = 2**31 - 1, 2**63 - 1
# The corners of what a spec may ask for: slow and fast, low and high edges, loud and quiet.
INPUTS = (
    StudentInput(20, low_hz=0.2), StudentInput(20, low_hz=4, high_hz=8), StudentInput(32, clip=64), StudentInput(50, high_hz=20, clip=1),
    StudentInput(100, low_hz=0.2, high_hz=40), StudentInput(100, low_hz=4),
)  # fmt: skip


@pytest.mark.parametrize("rate", WATCH_RATES_HZ)
@pytest.mark.parametrize("bits", (12, 19, 22))
def test_real_recordings_come_out_as_in_float(recordings, rate, bits):
    for name in ("S34.npz", "bidmc_13.npz"):
        counts = Sensor(read_recording(recordings / name), SensorConfig(rate, fifo=5, bits=bits)).counts[: rate * 300]
        found = front_end_parity(counts, rate, bits)
        assert found.largest <= 1
        assert found.equal > 0.999
        assert all(g.passed for g in front_end_gates(found))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from(WATCH_RATES_HZ),
    bits=st.integers(12, 24),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_split_gives_the_same_bits(seed, rate, bits, cuts):
    counts = np.random.default_rng(seed).integers(0, 2**bits, 400)
    whole = FixedFrontEnd(rate, bits).push(counts)
    split = FixedFrontEnd(rate, bits)
    parts = [split.push(p) for p in np.split(counts, sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("sees", INPUTS)
def test_every_input_of_a_student_comes_out_as_in_float(recordings, sees):
    for name, rate, bits in (("S34.npz", 125, 19), ("bidmc_13.npz", 100, 22)):
        counts = Sensor(read_recording(recordings / name), SensorConfig(rate, fifo=5, bits=bits)).counts[: rate * 120]
        fixed = FixedFrontEnd(rate, bits, sees.counts)
        assert (len(fixed.push(counts)), fixed.design.student_hz) == (120 * sees.rate_hz, sees.rate_hz)
        assert all(g.passed for g in front_end_gates(front_end_parity(counts, rate, bits, sees.counts)))


@pytest.mark.parametrize("sees", (StudentInput(), *INPUTS))
@pytest.mark.parametrize("rate", (*WATCH_RATES_HZ, 1000))
@pytest.mark.parametrize("bits", (8, 19, MAX_BITS))
def test_no_input_overflows_a_word(rate, bits, sees):
    """Largest value of each word over all inputs of `bits` bits: the l1 norms of what leads to it."""
    if rate < sees.rate_hz:
        return
    d = design(rate, bits, sees.counts)
    full = 2**bits - 1
    fir = int(np.abs(d.taps).sum(axis=1).max())
    assert fir * full + (1 << TAP_BITS) < INT64
    # Between its negative and its positive taps the FIR spans this much, and so does what the high-pass sees.
    span = (fir * full >> (TAP_BITS - d.fraction)) + 2
    assert span <= INT32
    b = np.array([d.numerator, -2 * d.numerator, d.numerator]) / 2**POLE_BITS
    a = np.array([2**POLE_BITS, d.a1, d.a2]) / 2**POLE_BITS
    impulse = lfilter(b, a, np.eye(1, 20_000)[0])
    assert np.abs(impulse[-1]) < 1e-12
    # It gives nothing for a constant, so that only half the span on either side of its middle counts.
    high = int(np.abs(impulse).sum() * span / 2) + 2
    assert high <= INT32
    assert d.numerator * 2 * span + (abs(d.a1) + abs(d.a2)) * high + 2**POLE_BITS < INT64
    assert high << MAGNITUDE_BITS < INT64 >> ALPHA_BITS
    assert high << (MAGNITUDE_BITS + d.steps) < INT64


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(8, 24),
    rate=st.sampled_from(WATCH_RATES_HZ),
    seed=st.integers(0, 2**32 - 1),
    step=st.integers(1, 60),
)
def test_full_scale_steps_saturate_and_recover(bits, rate, seed, step):
    rng = np.random.default_rng(seed)
    counts = np.repeat(rng.choice([0, 2**bits - 1], 30), step)
    out = FixedFrontEnd(rate, bits).push(counts)
    real = FrontEnd(rate, IN_COUNTS).push(counts)
    assert out.dtype == np.int8
    # The magnitude of a full-scale step is known to 20 bits, int8 has 8: a rounding may turn, no more.
    assert np.abs(out - np.clip(np.rint(real.astype(float) * 32), -128, 127)).max(initial=0) <= 1


@pytest.mark.parametrize("bits", (12, 19, 24))
@pytest.mark.parametrize("level", (0.0, 0.37, 1.0))
def test_a_constant_after_anything_becomes_and_stays_zero(bits, level):
    """No limit cycle: in a recursive filter with rounding, an input that ended long ago can ring for ever."""
    rng = np.random.default_rng(0)
    fixed = FixedFrontEnd(64, bits)
    fixed.push(rng.integers(0, 2**bits, 64 * 30))
    rest = np.full(64 * 600, int(level * (2**bits - 1)))
    out = fixed.push(rest)
    assert not out[-25 * 300 :].any()
    assert fixed.flat


def test_a_constant_gives_nothing_from_the_first_sample():
    for rate in WATCH_RATES_HZ:
        assert not FixedFrontEnd(rate, 19).push(np.full(rate * 20, 262_143)).any()


def test_it_says_how_many_samples_an_output_needs():
    for rate in WATCH_RATES_HZ:
        fixed = FixedFrontEnd(rate, 19)
        for wanted in (1, 5, 25, 3):
            need = fixed.inputs_for(wanted)
            assert len(fixed.push(np.zeros(need - 1, int))) == wanted - 1
            assert len(fixed.push(np.zeros(1, int))) == 1


def test_phases_pass_a_constant_exactly():
    for rate in WATCH_RATES_HZ:
        assert (design(rate, 19).taps.sum(axis=1) == 1 << TAP_BITS).all()


def test_bad_settings_are_refused():
    for rate, bits in ((64, 25), (64, 7), (20, 19)):
        with pytest.raises(ConfigError):
            FixedFrontEnd(rate, bits)
    with pytest.raises(ConfigError, match="power of two"):
        design(64, 19, replace(IN_COUNTS, clip=3.0))
    with pytest.raises(ConfigError, match="in ADC counts"):
        design(64, 19, replace(IN_COUNTS, floor=1e-9))


def test_another_design_is_obeyed_to_the_golden_vectors():
    """Filter edge and floor reach the integers, the contract and the vectors that firmware is held against."""
    other = design(64, 19, replace(IN_COUNTS, highpass_hz=0.8, floor=2.0))
    usual = design(64, 19)
    assert other.numerator != usual.numerator
    assert other.floor == 4 * usual.floor
    artifacts = load_artifacts("band")
    golden, plain = golden_vectors(artifacts.model, 25, other), golden_vectors(artifacts.model, 25, usual)
    np.testing.assert_array_equal(
        FixedFrontEnd.of(other).push(golden.counts)[: golden.input.size], golden.input.ravel()
    )
    assert (golden.input != plain.input).any()
    assert contract(artifacts, 25, usual)["front_end"]["floor"] == IN_COUNTS.floor == 0.5
