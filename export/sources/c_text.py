"""C as text: tables of integers, comments, the bytes of a file as a header."""

from __future__ import annotations

import re

import numpy as np

STRUCTS = ("ow_scale",)


def c_array(kind: str, name: str, values: np.ndarray) -> str:
    """A constant table of integers, 24 to a line; of a struct, values are (n, fields)."""
    if kind in STRUCTS:
        words = ["{" + ", ".join(map(str, row)) + "}" for row in values.tolist()]
    else:
        words = [f"{v}{'u' if kind == 'uint32_t' else ''}" for v in np.asarray(values).ravel().tolist()]
    lines = [", ".join(words[i : i + 24]) for i in range(0, len(words), 24)]
    return f"static const {kind} {name}[{len(words)}] = {{\n    " + ",\n    ".join(lines) + "};"


def comment(text: str) -> str:
    """What somebody else's file calls a tensor, as part of a C comment."""
    return re.sub(r"[^A-Za-z0-9_./:; -]", "_", text)[:80]


def array_header(data: bytes, name: str) -> str:
    """A C and C++ header with the bytes of the file, for teams that stay on TFLM."""
    rows = [", ".join(f"0x{b:02x}" for b in data[i : i + 20]) for i in range(0, len(data), 20)]
    upper = name.upper()
    return f"""#ifndef {upper}_TFLITE_H
#define {upper}_TFLITE_H

#ifdef __cplusplus
alignas(16)
#else
_Alignas(16)
#endif
static const unsigned char {name}_tflite[{len(data)}] = {{
    {("," + chr(10) + "    ").join(rows)}}};

#endif
"""
