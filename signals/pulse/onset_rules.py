"""The numbers of the watch's beats (`signals.pulse.onsets`, `signals.pulse.variability`, `onwrist_beats.c`), with their reasons.

Shares and table were chosen on the training people of the PhysioNet Challenge 2015 (`onwrist beats --choose`), whom no
report uses.
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
# people's such pulses 95 % were none), or in an even rhythm before 6/10 of the usual interval; uneven rhythms have early
# pulses that are weak.
ECHO_TENTHS, ECHO_SOON, ECHO_EVEN = 6, 8 << FRACTION, 46
# Confidence by three likenesses: of this interval to the usual one (shorter or longer by so many 64ths), of the last
# intervals to theirs, of the last heights to theirs less how far their lags strayed.
SHORT_EDGES, LONG_EDGES = (6, 14, 24, 38), (6, 14, 24)
EVEN_EDGES, LIKE_EDGES = (36, 46, 54, 60), (24, 40)
# Per cent of the intervals of each cell that were within 50 ms of the ECG's, cells with few of them drawn to their
# neighbours.
CONFIDENCE = (
    15,
    11,
    17,
    11,
    7,
    10,
    6,
    7,
    10,
    4,
    2,
    2,
    7,
    3,
    2,
    11,
    28,
    62,
    31,
    56,
    82,
    23,
    42,
    80,
    18,
    7,
    36,
    4,
    11,
    19,
    18,
    42,
    66,
    26,
    60,
    87,
    13,
    57,
    91,
    14,
    27,
    72,
    22,
    33,
    48,
    28,
    59,
    72,
    44,
    71,
    91,
    44,
    71,
    94,
    35,
    43,
    93,
    34,
    23,
    67,
    70,
    91,
    91,
    54,
    91,
    96,
    64,
    88,
    95,
    84,
    92,
    97,
    92,
    97,
    98,
    21,
    46,
    71,
    35,
    68,
    89,
    30,
    61,
    92,
    17,
    37,
    90,
    31,
    31,
    62,
    25,
    35,
    69,
    23,
    63,
    91,
    11,
    66,
    92,
    11,
    24,
    76,
    19,
    24,
    37,
    17,
    29,
    61,
    26,
    58,
    86,
    31,
    58,
    88,
    29,
    36,
    77,
    36,
    57,
    66,
)
# An interval counts as known from here on.
TRUSTED = 75
# Of the timing of one pulse, what the finger adds to RMSSD even where the ECG is steady, tenths of a ms.
JITTER = 110
# A successive difference of more than 50 ms, in 1/6400 s.
FIFTY_MS = 320
# Minutes are of the signal's own time; figures need half of it, and ten differences.
MINUTE, MINUTES, LEAST_COVER, LEAST_PAIRS = 60 * 25, 5, 500, 10
