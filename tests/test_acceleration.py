"""The acceleration's front end: integers against the design, steps of an absolute size, gravity gone, any split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from onwrist.errors import ConfigError
from onwrist.signals.front_end.acceleration import (
    HIGHPASS_HZ,
    STEP_G,
    AccelerationConfig,
    FixedAcceleration,
    acceleration_design,
    acceleration_float,
)
from onwrist.signals.front_end.floating import FrontEnd
from onwrist.signals.front_end.stages import POLE_BITS, TAP_BITS
from onwrist.signals.recordings.readers import read_recording

RATES = (20, 25, 26, 32, 50, 64, 104, 200)
# Bits and counts per g: a wristband's, and common ranges of +-2, 8 and 16 g.
PARTS = ((8, 64.0), (12, 1024.0), (16, 4096.0), (16, 16_393.44), (16, 2048.0))
INT32, INT64 = 2**31 - 1, 2**63 - 1


def counts_of(samples_g, config):
    low = 2 ** (config.bits - 1)
    return np.clip(np.rint(samples_g * config.counts_per_g), -low, low - 1).astype(int)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("bits", "per_g"), PARTS)
def test_integers_are_the_design_to_a_step(recordings, rate, bits, per_g):
    """A real wrist, moving, at the rate that is asked for."""
    channel = read_recording(recordings / "S34.npz").acc
    seconds = np.arange(60 * rate) / rate + 600
    own = np.arange(len(channel.samples)) / channel.rate_hz
    wrist = np.stack([np.interp(seconds, own, np.nan_to_num(channel.samples[:, i])) for i in range(3)], axis=1)
    config = AccelerationConfig(rate, bits, per_g)
    counts = counts_of(wrist, config)
    found, meant = FixedAcceleration(config).push(counts), acceleration_float(counts / per_g, rate)
    rounded = np.clip(np.rint(meant), -128, 127)
    assert np.abs(found - rounded).max() <= 1
    assert np.mean(found == rounded) > 0.999
    assert np.std(found) > 0.1, "the wrist moves"


def test_a_step_is_an_absolute_size_and_gravity_is_none():
    t = np.arange(60 * 50) / 50
    swing = np.stack([0.5 * np.sin(2 * np.pi * 2 * t), np.full(len(t), 1.0), 3 * np.sin(2 * np.pi * 2 * t)], axis=1)
    out = FixedAcceleration(AccelerationConfig(50, 16, 4096.0)).push(counts_of(swing, AccelerationConfig()))[250:]
    assert STEP_G == 1 / 64
    assert 0.95 * 32 <= out[:, 0].max() <= 32.5, "half a g is 32 steps, less what the low-pass takes at 2 Hz"
    assert not out[:, 1].any(), "a constant is nothing"
    assert (out[:, 2].max(), out[:, 2].min()) == (127, -128), "beyond 2 g it saturates"


def test_the_high_pass_is_where_it_is_said():
    """3 dB at its edge, and 40 dB a decade below."""
    for factor, low, high in ((1, -3.3, -2.7), (0.1, -45, -38), (5, -0.3, 0.1)):
        t = np.arange(300 * 50) / 50
        tone = np.sin(2 * np.pi * factor * HIGHPASS_HZ * t)[:, None] * np.ones(3)
        gain = np.std(acceleration_float(tone, 50)[25 * 200 :]) * STEP_G / np.sqrt(0.5)
        assert low < 20 * np.log10(gain) < high


def test_it_comes_as_late_as_the_light():
    """An impulse that both sensors feel at one time is in the same output of both: the student sees them together."""
    for rate in (25, 32, 50, 100):
        light = FrontEnd(64).conversion.push(np.eye(1, 640, 320)[0])
        wrist = acceleration_float(np.eye(1, 10 * rate, 5 * rate)[0][:, None] * np.ones(3), rate)
        assert abs(int(np.argmax(light)) - int(np.argmax(wrist[:, 0]))) <= 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.integers(20, 200),
    part=st.sampled_from(PARTS),
    cuts=st.lists(st.integers(0, 300), max_size=12),
)
def test_any_split_gives_the_same_bits(seed, rate, part, cuts):
    config = AccelerationConfig(rate, *part)
    low = 2 ** (config.bits - 1)
    counts = np.random.default_rng(seed).integers(-low, low, (300, 3))
    whole = FixedAcceleration(config).push(counts)
    split = FixedAcceleration(config)
    np.testing.assert_array_equal(np.concatenate([split.push(p) for p in np.split(counts, sorted(cuts))]), whole)
    real = np.clip(np.rint(acceleration_float(counts / config.counts_per_g, rate)), -128, 127)
    assert np.abs(whole - real).max() <= 1
    assert abs(len(whole) - 300 * 25 / rate) <= 1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("bits", (8, 12, 16))
@pytest.mark.parametrize("per_g", (1.0, 4096.0, 65_536.0))
def test_no_input_overflows_a_word(rate, bits, per_g):
    """The l1 norms of what leads to each word, as for the light."""
    d = acceleration_design(AccelerationConfig(rate, bits, per_g))
    largest = 2 ** (bits - 1)
    fir = int(np.abs(d.taps).sum(axis=1).max())
    assert (d.taps.sum(axis=1) == 1 << TAP_BITS).all()
    assert fir * largest + (1 << TAP_BITS) < INT64
    half = (fir * largest >> (TAP_BITS - d.fraction)) + 1
    assert half <= INT32
    b = np.array([d.numerator, -2 * d.numerator, d.numerator]) / 2**POLE_BITS
    impulse = lfilter(b, np.array([2**POLE_BITS, d.a1, d.a2]) / 2**POLE_BITS, np.eye(1, 8000)[0])
    high = int(np.abs(impulse).sum() * half) + 2
    assert high <= INT32
    assert 4 * d.numerator * half + (abs(d.a1) + abs(d.a2)) * high + 2**POLE_BITS < INT64
    assert 0 < d.gain <= 2**30
    assert 1 <= d.shift < 63
    assert high * d.gain + (1 << (d.shift - 1)) < INT64


def test_what_is_missing_is_nothing_and_what_follows_begins_anew():
    t = np.arange(20 * 32) / 32
    wrist = np.sin(2 * np.pi * 1.5 * t)[:, None] * np.array([0.3, 0.2, 0.1]) + np.array([0, 1.0, 0])
    whole = acceleration_float(wrist, 32)
    wrist[8 * 32 : 11 * 32, 1] = np.nan
    holed = acceleration_float(wrist, 32)
    assert holed.shape == whole.shape
    assert np.isfinite(holed).all()
    np.testing.assert_array_equal(holed[: 8 * 25], whole[: 8 * 25])
    assert not holed[8 * 25 : 11 * 25].any()
    assert np.abs(holed[11 * 25 :]).max() < 128 * 0.6, "no step of gravity"
    # The outputs' instants stay those of the whole: what has long begun is the same.
    np.testing.assert_allclose(holed[-50:], whole[-50:], atol=0.5)
    assert not acceleration_float(np.full((64, 3), np.nan), 32).any()


def test_integers_go_on_behind_a_gap_as_the_design_does():
    rng = np.random.default_rng(0)
    config = AccelerationConfig(32, 16, 4096.0)
    counts = rng.integers(-4000, 4000, (400, 3))
    fixed = FixedAcceleration(config)
    before = fixed.push(counts[:100])
    gap = np.zeros((fixed.skip(50), 3), np.int8)
    found = np.concatenate([before, gap, fixed.push(counts[150:])])
    holed = counts / 4096.0
    holed[100:150] = np.nan
    meant = np.clip(np.rint(acceleration_float(holed, 32)), -128, 127)
    assert found.shape == meant.shape
    assert np.abs(found - meant).max() <= 1


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="rate_hz"):
        AccelerationConfig(10)
    with pytest.raises(ConfigError, match="bits"):
        AccelerationConfig(bits=24)
    with pytest.raises(ConfigError, match="counts_per_g"):
        AccelerationConfig(counts_per_g=0.0)
    with pytest.raises(ConfigError, match="20 to 1,000"):
        acceleration_float(np.zeros((10, 3)), 12.5)
    with pytest.raises(ConfigError, match="x, y, z"):
        acceleration_float(np.zeros((10, 2)), 50)
