"""The numbers of the watch's beats (`signals.pulse.onsets`, `signals.pulse.variability`, `onwrist_beats.c`), with their reasons.

All were chosen on the training people of the PhysioNet Challenge 2015, whom no report uses: `CONFIDENCE` and `JITTER` by
`onwrist beats --choose`, the others by hand on 150 of them.
"""

from __future__ import annotations

# A sample of 25 Hz has 256 parts: 0.16 ms, finer than any fiducial.
FRACTION = 8
# The front end's word less these bits: its last bits are below the converter's noise, and sums of four then fit 32 bits.
WIDTH_BITS = 4
# A pulse rises and falls by more than 5/8 of the mean magnitude. Half of it lets in second waves, 6/8 loses the weak
# pulses of fibrillation; between them F1 moves by 0.002.
PULSE_EIGHTHS = 5
# The high-pass and the running magnitude settle: two seconds.
SETTLE = 50
# Samples that a made-up or clipped count is felt in: the rate conversion is 0.4 s long.
SMEAR = 11
# Likeness of two values: the smaller in 64ths of the larger.
PART = 64
# Intervals and heights whose median is the usual one: long enough for one ectopic beat and its pause, short enough to
# follow a rate.
MEMORY = 7
# From the steepest rise to the peak: what a pulse is taken to need before any was seen, and how far one may stray.
FIRST_LAG, LAG_REACH = 3 << FRACTION, 2 << FRACTION
# No heart beats faster than 250/min; beyond 2.5 s a pulse was missed or the heart stood still.
SHORTEST, LONGEST = 6 << FRACTION, 5 * 25 << (FRACTION - 1)
# A pulse with less than 6/10 of the last one's height is its second wave if it comes within 0.32 s (of the training
# people's such pulses 93 % were none), or in an even rhythm before 6/10 of the usual interval; uneven rhythms have early
# pulses that are weak.
ECHO_TENTHS, ECHO_SOON, ECHO_EVEN = 6, 8 << FRACTION, 46
# Confidence by three likenesses: of this interval to the usual one (shorter or longer by so many 64ths), of the last
# intervals to theirs, of the last heights to theirs less how far their lags strayed.
SHORT_EDGES, LONG_EDGES = (6, 14, 24, 38), (6, 14, 24)
EVEN_EDGES, LIKE_EDGES = (36, 46, 54, 60), (24, 40)
# Per cent of the intervals of each cell that were within 50 ms of the ECG's, cells with few of them drawn to their
# neighbours. A row per likeness to the usual interval, the shortest first; in it five of the last intervals, each with
# three of the heights.
CONFIDENCE = (
    35, 14, 11, 13, 10, 5, 5, 5, 5, 2, 1, 1, 2, 1, 4,
    20, 34, 61, 30, 57, 71, 22, 42, 77, 10, 6, 30, 3, 7, 14,
    22, 42, 63, 33, 57, 87, 26, 52, 87, 12, 23, 69, 18, 21, 45,
    29, 48, 70, 35, 70, 70, 43, 63, 89, 25, 43, 88, 26, 18, 66,
    51, 65, 85, 49, 86, 74, 56, 83, 89, 69, 91, 97, 34, 97, 98,
    35, 32, 62, 22, 61, 68, 22, 49, 80, 20, 29, 83, 26, 18, 54,
    27, 18, 41, 11, 38, 51, 9, 33, 57, 5, 14, 58, 9, 10, 23,
    5, 28, 27, 6, 22, 36, 4, 19, 33, 2, 5, 19, 3, 1, 7,
)  # fmt: skip
# An interval counts as known from here on.
TRUSTED = 75
# What a pulse's own timing adds to RMSSD is taken off, in squares: a quarter of the mean squared second difference of
# its spans from rise to peak, which a clean signal keeps (a span may stray by 16 samples in it), and what is left with
# the steady minutes of the training people, tenths of a ms.
SPAN_REACH, SPAN_QUARTER, JITTER = 16 << FRACTION, 2, 80
# A successive difference of more than 50 ms, in 1/6400 s.
FIFTY_MS = 320
# Minutes are of the signal's own time; figures need half of it, and ten differences.
MINUTE, MINUTES, LEAST_COVER, LEAST_PAIRS = 60 * 25, 5, 500, 10
