"""Harm done to good files: what every entrance is tried with."""

import os

import numpy as np

# Inputs an entrance gets; ONWRIST_FUZZ=20 runs twenty times as many.
INPUTS = 1000 * int(os.environ.get("ONWRIST_FUZZ", "1"))
ODD_WORDS = [
    b"nan", b"-inf", b"1e999", b"99999999999999999999", b"-1", b"0", b"", b"\"", b"'", b"#", b";", b",", b"\t", b"\r", b"\0",
    b"\xff\xfe", b"\xef\xbb\xbf", b"None", b"2024-02-30", b"25:61:61", b"1,5", b"--", b"{", b"[[[[", b"time", b"sep=", b"\xc3",
    b"1000000000000", b"../../x", b"=1+1", b"ppg",
]  # fmt: skip


def damaged(seed: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flipped, doubled, shuffled, or with an odd word put in; one to four such harms."""
    data = bytearray(seed)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        # Headers are short and decide most: half of the harm goes there.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 400)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 1 + min(64, len(data))))
        match rng.integers(7):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + length]
            case 2:
                data[at] ^= 1 << int(rng.integers(8))
            case 3:
                data[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                word = ODD_WORDS[rng.integers(len(ODD_WORDS))]
                data[at : at + len(word)] = word
            case 6:
                word = ODD_WORDS[rng.integers(len(ODD_WORDS))]
                data[at:at] = word
    return bytes(data)
