"""Over a thousand damaged bundles: each is one line or a verdict that is not `valid`, in a bounded time.

More of them: ONWRIST_FUZZ=20 runs twenty times as many.
"""

import json
import os
import time

import numpy as np
import pytest
from bundles import derived_only, files_of, packed, plain_bundle, rehashed

from onwrist.errors import BundleError
from onwrist.export.handoff.names import MANIFEST
from onwrist.firmware_sim.handoff.schema import read_arrays, read_json
from onwrist.firmware_sim.handoff.verify import verify

TIMES = int(os.environ.get("ONWRIST_FUZZ", "1"))
# What an honest bundle without a report is; a damaged one may be that only if its files are what they were.
GOOD = "degraded"
# Of one damaged bundle; the slowest honest one takes a quarter of a second.
SECONDS = 20
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -(10**18), 0.5, -0.0, 1e308, "", "x", "valid", "a\n\x1b[2J", "../x", "0" * 64,
    "\u202e", "x" * 10_000, [], [[]], [None], {}, {"a": {}}, [0] * 1000, {"band": "band"},
]  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    files = files_of(plain_bundle())
    path = packed(files, tmp_path_factory.mktemp("fuzz") / "good.zip")
    assert verify(path, run=derived_only).word == GOOD
    return files, path.read_bytes()


def outcome(path) -> str:
    began = time.monotonic()
    try:
        found = verify(path, run=derived_only)
        lines, word = found.lines, found.word
    except BundleError as error:
        lines, word = [str(error)], "refused"
    assert all(line.isprintable() for line in lines), lines
    assert word in (GOOD, "invalid", "refused"), word
    assert time.monotonic() - began < SECONDS
    return word


def spoil(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, cut out, put in, or the rest cut off."""
    kind, at = rng.integers(6), int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at + length :]
    if kind == 2:
        return data[:at] + rng.bytes(length) + data[at:]
    if kind == 3:
        return data[:at] + bytes(length) + data[at + length :]
    changed = bytearray(data)
    for place in (at, *rng.integers(len(data), size=int(rng.integers(3)))):
        changed[place] ^= 1 << int(rng.integers(8)) if kind == 4 else int(rng.integers(1, 256))
    return bytes(changed)


def mutated(value, rng: np.random.Generator):
    """JSON with one thing in it another."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        copy = dict(value) if isinstance(value, dict) else list(value)
        roll = rng.random()
        if roll < 0.1:
            del copy[key]
        elif roll < 0.15 and isinstance(copy, dict):
            copy[str(ODD[int(rng.integers(len(ODD)))])[:50]] = copy.pop(key)
        else:
            copy[key] = mutated(value[key], rng)
        return copy
    return ODD[int(rng.integers(len(ODD)))]


def test_damaged_archives(good, tmp_path):
    files, whole = good
    rng = np.random.default_rng(1)
    for _ in range(300 * TIMES):
        (tmp_path / "x.zip").write_bytes(data := spoil(whole, rng))
        word = outcome(tmp_path / "x.zip")
        # A byte that means nothing (a date, an attribute) may change; then every file is what it was.
        if word == GOOD:
            from onwrist.firmware_sim.handoff.opening import read_bundle

            assert read_bundle(tmp_path / "x.zip") == files, data


def test_damaged_members(good, tmp_path):
    files, _ = good
    rng = np.random.default_rng(2)
    names = sorted(files)
    for _ in range(150 * TIMES):
        held = dict(files)
        a, b = (names[int(i)] for i in rng.choice(len(names), 2, replace=False))
        kind = rng.integers(5)
        if kind == 0:
            held[a], held[b] = held[b], held[a]
        elif kind == 1:
            del held[a]
        elif kind == 2:
            held[f"band/{rng.integers(99)}"] = held[a]
        elif kind == 3:
            held[a] = b""
        else:
            held[a] = spoil(held[a], rng)
        if held != files:
            assert outcome(packed(held, tmp_path / "x.zip")) in ("refused", "invalid"), (a, b, kind)


def test_damaged_manifests(good, tmp_path):
    files, _ = good
    rng = np.random.default_rng(3)
    told = json.loads(files[MANIFEST])
    # What its maker says of itself may be anything that is well-formed; it is named as not checked.
    claims = ("packages", "python", "onwrist", "origins")
    for _ in range(250 * TIMES):
        found = mutated(told, rng)
        said = {k: v for k, v in found.items() if k not in claims} if isinstance(found, dict) else found
        word = outcome(packed({**files, MANIFEST: json.dumps(found).encode()}, tmp_path / "x.zip"))
        assert word != GOOD or said == {k: v for k, v in told.items() if k not in claims}, found


@pytest.mark.parametrize(
    "name, count",
    [
        ("step.tflite", 200),
        ("window.tflite", 15),
        ("golden.npz", 60),
        ("memory.json", 15),
        ("c/onwrist_model.c", 15),
        ("step.onnx", 15),
    ],
)
def test_damaged_files_with_a_manifest_to_match(good, tmp_path, name, count):
    files, _ = good
    rng = np.random.default_rng(len(name))
    for _ in range(count * TIMES):
        data = spoil(files[f"band/{name}"], rng)
        word = outcome(packed(rehashed({**files, f"band/{name}": data}), tmp_path / "x.zip"))
        if word == GOOD:  # the archive inside has bytes that mean nothing, too
            assert name == "golden.npz"
            ours, theirs = (read_arrays(d, "", "") for d in (files[f"band/{name}"], data))
            assert all(np.array_equal(ours[n], theirs[n]) for n in ours)


def test_damaged_contracts_with_a_manifest_to_match(good, tmp_path):
    files, _ = good
    rng = np.random.default_rng(4)
    told = json.loads(files["band/contract.json"])
    for _ in range(120 * TIMES):
        found = mutated(told, rng)
        data = json.dumps(found, indent=1).encode()
        if data != files["band/contract.json"]:
            word = outcome(packed(rehashed({**files, "band/contract.json": data}), tmp_path / "x.zip"))
            assert word in ("refused", "invalid"), found


def test_damaged_arrays_and_json_alone(good):
    files, _ = good
    rng = np.random.default_rng(5)
    said = []
    for _ in range(300 * TIMES):
        for name, read in (("band/golden.npz", read_arrays), ("band/contract.json", read_json), (MANIFEST, read_json)):
            try:
                read(spoil(files[name], rng), "x", name)
            except BundleError as error:
                said.append(str(error))
    assert len(said) > 300 * TIMES
    assert all(text.isprintable() for text in said)
