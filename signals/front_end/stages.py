"""The two stages that light and acceleration share, as designed and in integers: rate conversion and high-pass.

| stage | designed | in integers |
|---|---|---|
| rate conversion | polyphase FIR, every phase passes a constant with gain 1 | counts x Q29 taps, int64 sum, rounded to `fraction` bits below a count |
| high-pass | second-order Butterworth | direct form I, Q29, int64 sum; each output's remainder is added to the next (error feedback) |

Both begin as if their first value had been there for ever: no step, no ringing.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import butter, firwin, sosfilt, sosfilt_zi

TAP_BITS = POLE_BITS = 29
# int32 less the sign, less a bit for the overshoot of the filters.
WORD_BITS = 29


def phases_of(rate_hz: float, to_hz: float, lowpass_hz: float, filter_s: float) -> tuple[np.ndarray, int, int]:
    """FIR phases of a rate conversion.

    Returns:
        (phases, up, down): float (up, taps), newest input last; to_hz = rate_hz * up / down.
    """
    ratio = Fraction(to_hz).limit_denominator(1000) / Fraction(rate_hz).limit_denominator(1000)
    up, down = ratio.numerator, ratio.denominator
    taps = max(3, round(filter_s * rate_hz))
    kernel = firwin(taps * up, lowpass_hz, fs=rate_hz * up, window=("kaiser", 4.0)) * up
    phases = kernel.reshape(taps, up).T[:, ::-1]
    # Every phase passes DC with gain 1, or a constant would come out as a ripple at the phase rate.
    return np.ascontiguousarray(phases / phases.sum(axis=1, keepdims=True)), up, down


def highpass_of(edge_hz: float, rate_hz: float) -> np.ndarray:
    """The high-pass, as one second-order section (1, 6)."""
    return butter(2, edge_hz, "highpass", fs=rate_hz, output="sos")


def integer_taps(phases: np.ndarray) -> np.ndarray:
    """Phases (up, taps) in Q29, int64; each still sums to exactly one."""
    taps = np.rint(phases * (1 << TAP_BITS)).astype(np.int64)
    # A phase that did not sum to one would turn a constant into a ripple at the phase rate.
    taps[np.arange(len(taps)), taps.argmax(axis=1)] += (1 << TAP_BITS) - taps.sum(axis=1)
    return taps


def integer_poles(sos: np.ndarray) -> tuple[int, int, int]:
    """(numerator, a1, a2) in Q29 of y = numerator * (1, -2, 1) x - a1 y1 - a2 y2: a constant gives exactly nothing."""
    b0, _, _, _, a1, a2 = sos[0]
    return round(b0 * (1 << POLE_BITS)), round(a1 * (1 << POLE_BITS)), round(a2 * (1 << POLE_BITS))


class Ticks:
    """When outputs come, of a stream whose rate is converted by up / down."""

    def __init__(self, up: int, down: int):
        self.up, self.down, self.phase = up, down, 0

    def of(self, inputs: int) -> np.ndarray:
        """When the outputs of the next `inputs` samples come, in parts (1/up) of a sample: int (m,)."""
        count = max(0, -(-(inputs * self.up - self.phase) // self.down))
        return self.phase + self.down * np.arange(count)

    def inputs_for(self, outputs: int) -> int:
        """Samples from now until that many outputs are there."""
        return max(0, ((outputs - 1) * self.down + self.phase) // self.up + 1)

    def move(self, inputs: int, outputs: int) -> None:
        """So many samples came, and so many outputs with them."""
        self.phase = int(self.phase + self.down * outputs - inputs * self.up)


class Conversion:
    """Rate conversion of a stream of one or several axes.

    Args:
        phases: (up, taps) float, or int64 Q29. up, down: of the rate.
        shift: the sum loses so many bits, rounded; None: it is float and stays as it is.
    """

    def __init__(self, phases: np.ndarray, up: int, down: int, shift: int | None = None):
        self.phases, self.ticks, self.shift = phases, Ticks(up, down), shift
        self.history: np.ndarray | None = None

    def push(self, x: np.ndarray) -> np.ndarray:
        """(n,) or (n, axes) in, (m,) or (m, axes) out, at least one sample in."""
        width = self.phases.shape[1]
        if self.history is None:
            self.history = np.repeat(x[:1], width - 1, axis=0)
        line = np.concatenate([self.history, x])
        ticks = self.ticks.of(len(x))
        windows = np.lib.stride_tricks.sliding_window_view(line, width, axis=0)[ticks // self.ticks.up]
        total = np.einsum("n...k,nk->n...", windows, self.phases[ticks % self.ticks.up])
        self.ticks.move(len(x), len(ticks))
        self.history = line[len(line) - (width - 1) :]
        if self.shift is None:
            return total
        return (total + (1 << (self.shift - 1))) >> self.shift


class HighPass:
    """The high-pass as designed, of a stream of one or several axes.

    Args:
        sos: (1, 6), of `highpass_of`.
    """

    def __init__(self, sos: np.ndarray):
        self.sos = sos
        self.state: np.ndarray | None = None

    def push(self, x: np.ndarray) -> np.ndarray:
        """(n,) or (n, axes) in and out, at least one."""
        if self.state is None:
            self.state = np.multiply.outer(sosfilt_zi(self.sos), x[0])
        y, self.state = sosfilt(self.sos, x, axis=0, zi=self.state)
        return y


class IntegerHighPass:
    """The high-pass in integers, of one axis. y1 and y2 are its last two outputs."""

    def __init__(self, numerator: int, a1: int, a2: int):
        self.numerator, self.a1, self.a2 = numerator, a1, a2
        self.x1 = self.x2 = self.y1 = self.y2 = self.remainder = 0
        self.started = False

    def push(self, values: list[int]) -> list[int]:
        """As many out as in. Plain integers in a loop: each output needs the one before it."""
        if values and not self.started:
            self.x1 = self.x2 = values[0]
            self.started = True
        numerator, a1, a2, mask = self.numerator, self.a1, self.a2, (1 << POLE_BITS) - 1
        x1, x2, y1, y2, remainder = self.x1, self.x2, self.y1, self.y2, self.remainder
        out = []
        for x in values:
            total = numerator * (x - 2 * x1 + x2) - a1 * y1 - a2 * y2 + remainder
            y, remainder = total >> POLE_BITS, total & mask
            x2, x1, y2, y1 = x1, x, y1, y
            out.append(y)
        self.x1, self.x2, self.y1, self.y2, self.remainder = x1, x2, y1, y2, remainder
        return out
