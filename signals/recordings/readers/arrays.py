"""The shared sets' `.npz`: arrays `ppg`, `ecg`, `acc`, `resp` with rates `fs_*`, scales and labels beside them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.clock import MAX_SAMPLES, uniform_clock
from onwrist.signals.recordings.readers.asked import Asked
from onwrist.signals.recordings.readers.precision import SPREAD_ROWS, single
from onwrist.signals.recordings.recording import Channel, Recording

MISSING_COUNT = -32768
CAMERA_CHANNELS = ("red", "green", "blue")
STANDARD_GRAVITY = 9.80665
SIGNALS = {"ppg", "ecg", "acc", "resp", "rsp"}
# Samples that are converted at once.
PIECE = 1 << 20
# Eight bytes for each of the most samples that a recording may have.
MAX_BYTES = 8 * MAX_SAMPLES


class _Fields(dict):
    """Arrays by name; numbers and words among them are asked for as such."""

    def __init__(self, asked: Asked, found: dict[str, np.ndarray]):
        super().__init__(found)
        self.asked = asked

    def number(self, *names: str) -> float | None:
        """The first of these fields that is there, as one number.

        Raises:
            RecordingError: it is not one number, or not finite.
        """
        name = next((n for n in names if n in self), None)
        if name is None:
            return None
        value = self[name]
        if value.size != 1 or value.dtype.kind not in "iufb" or not math.isfinite(float(value.ravel()[0])):
            raise RecordingError(
                f"is no single number (shape {value.shape}, {value.dtype})", where=self.asked.name, field=name,
                cure="Store one number",
            )  # fmt: skip
        return float(value.ravel()[0])

    def scale(self, *names: str) -> float:
        """A divisor; 1 where none is there."""
        value = self.number(*names)
        if value == 0:
            raise RecordingError(
                "is 0", where=self.asked.name, field=next(n for n in names if n in self), cure="Mend it"
            )
        return 1.0 if value is None else value

    def word(self, name: str, default: str) -> str:
        """One word, or the default."""
        return str(self[name].ravel()[0]) if name in self and self[name].size == 1 else default

    def signal(self, name: str) -> np.ndarray:
        """A 1-D array of numbers; (n, 1) and (1, n) count as such.

        Raises:
            RecordingError: it has another shape, or holds no numbers.
        """
        value = self[name]
        if value.ndim == 2 and 1 in value.shape:
            value = value.ravel()
        if value.ndim != 1 or value.dtype.kind not in "iufb":
            what = (
                f"shape {value.shape}: windows, not a recording"
                if value.ndim == 2
                else f"{value.dtype}, shape {value.shape}"
            )
            raise RecordingError(what, where=self.asked.name, field=name, cure="Store one signal as (n,)")
        return value


def read_arrays(path: Path, asked: Asked) -> Recording:
    """An `.npz` as a recording; `channel` names another array of it than `ppg`.

    Raises:
        RecordingError: no such array, no rate, or a field of the wrong shape.
    """
    asked.no_segments()
    fields = _Fields(asked, _load(path, asked))
    if "rgb" in fields:
        return _phone_camera(fields, asked)
    name = _named(fields, asked)
    ppg = fields.signal(name)
    told = fields.number(f"fs_{name}")
    if told is None and "fs_ppg" in fields and (name == "ppg" or ("ppg" in fields and len(fields["ppg"]) == len(ppg))):
        told = fields.number("fs_ppg")
    if told is None and asked.rate_hz is None:
        raise RecordingError(
            "no sampling rate",
            where=asked.name,
            field=f"fs_{name}",
            cure="Store the rate in Hz, or give rate_hz (--rate-hz)",
        )
    rate = asked.rate(told, f"fs_{name}")
    scale = fields.scale(f"{name}_gain", f"{name}_scale", "scale", "adc_scale")
    units = fields.word(f"{name}_units", "scaled" if scale != 1.0 else "counts")
    samples, offset = _counts(ppg, scale, fields.number(f"{name}_baseline") or 0.0)
    start = fields.number("t0_unix")
    labels = {key: value for key, value in fields.items() if key not in SIGNALS and key != name}
    person = asked.subject or fields.word("subject", fields.word("record", asked.stem))
    return Recording(
        Channel(samples, rate, name, units, offset=offset), person, asked.name, start, _ecg(fields, name, rate),
        _acc(fields, start), _resp(fields, name, rate), labels,
    )  # fmt: skip


def _load(path: Path, asked: Asked) -> dict[str, np.ndarray]:
    """All arrays of the file, after the headers have said how large they are."""
    claimed = 0
    with zipfile.ZipFile(path) as packed:
        for member in packed.infolist():
            with packed.open(member) as file:
                claimed += _claimed(file, member.filename, asked)
        if claimed > MAX_BYTES:
            raise RecordingError(
                f"claims {claimed:,} bytes of arrays", where=asked.name, cure="Split the recording, or store it anew"
            )
    with np.load(path, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def _claimed(file, member: str, asked: Asked) -> int:
    """Bytes that an array's header claims."""
    field = member.removesuffix(".npy")
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError as error:
        raise RecordingError(
            f"is no array ({str(error)[:80]})", where=asked.name, field=field, cure="Store it anew"
        ) from None
    if dtype.hasobject:
        raise RecordingError(
            "holds Python objects, which are never loaded", where=asked.name, field=field, cure="Store plain numbers"
        )
    size = math.prod(shape) * dtype.itemsize
    if any(d < 0 for d in shape) or size > MAX_BYTES:
        raise RecordingError(f"claims shape {shape}", where=asked.name, field=field, cure="Store it anew")
    return size


def _named(fields: _Fields, asked: Asked) -> str:
    if asked.channel is None:
        if "ppg" not in fields:
            raise RecordingError(
                f"no field 'ppg' (has {', '.join(sorted(fields))})", where=asked.name, field="ppg",
                cure="Add one, or name another with channel (--channel)",
            )  # fmt: skip
        return "ppg"
    if asked.channel not in fields:
        listed = [k for k, v in fields.items() if v.ndim >= 1 and v.dtype.kind in "iuf" and max(v.shape, default=0) > 1]
        raise RecordingError(
            f"no channel '{asked.channel}'",
            where=asked.name,
            field="channel",
            cure=f"Choose one of: {', '.join(listed)}",
        )
    return asked.channel


def _counts(raw: np.ndarray, scale: float, baseline: float = 0.0) -> tuple[np.ndarray, float]:
    def real(part: np.ndarray) -> np.ndarray:
        values = (part.astype(np.float64) - baseline) / scale
        if part.dtype == np.int16:
            values[part == MISSING_COUNT] = np.nan
        return values

    # A week has forty million samples: in double precision only a piece of them at a time.
    _, offset = single(real(raw[:: max(1, len(raw) // SPREAD_ROWS)]))
    out = np.empty(raw.shape, np.float32)
    for begin in range(0, len(raw), PIECE):
        with np.errstate(over="ignore"):
            out[begin : begin + PIECE] = real(raw[begin : begin + PIECE]) - offset
    out[~np.isfinite(out)] = np.nan
    return out, offset


def _ecg(fields: _Fields, used: str, rate: float) -> Channel | None:
    if "ecg" not in fields or used == "ecg":
        return None
    raw = fields["ecg"]
    if raw.ndim == 2 and 1 not in raw.shape:
        # Several leads: the source says which is the best.
        lead = int(fields.number("ecg_best_lead") or 0)
        if not 0 <= lead < raw.shape[1]:
            raise RecordingError(
                f"lead {lead} of {raw.shape[1]}",
                where=fields.asked.name,
                field="ecg_best_lead",
                cure="Store its column",
            )
        raw = raw[:, lead]
    else:
        raw = fields.signal("ecg")
    scale = fields.scale("ecg_gain_per_mV", "ecg_scale", "scale", "adc_scale")
    samples, offset = _counts(raw, scale, fields.number("ecg_baseline") or 0.0)
    return Channel(samples, fields.number("fs_ecg") or rate, fields.word("ecg_lead", "ecg"), "mV", offset=offset)


def _acc(fields: _Fields, start: float | None) -> Channel | None:
    if "acc" not in fields:
        return None
    raw = fields["acc"]
    if raw.ndim != 2 or 3 not in raw.shape or raw.dtype.kind not in "iufb":
        raise RecordingError(
            f"shape {raw.shape}", where=fields.asked.name, field="acc", cure="Store three axes, (n, 3)"
        )
    rate = fields.number("fs_acc")
    if rate is None:
        raise RecordingError(
            "no rate of the acceleration", where=fields.asked.name, field="fs_acc", cure="Store it in Hz"
        )
    samples = (raw if raw.shape[-1] == 3 else raw.T).astype(np.float32)
    if fields.word("acc_unit", "").startswith("m/s2"):
        samples = samples * np.float32((fields.number("acc_scale") or 1.0) / STANDARD_GRAVITY)
    else:
        samples = samples / np.float32(fields.scale("acc_lsb_per_g"))
    offset = (fields.number("acc_t0_unix") or start or 0.0) - (start or 0.0)
    return Channel(samples, rate, "acc", "g", offset)


def _resp(fields: _Fields, used: str, rate: float) -> Channel | None:
    name = next((n for n in ("resp", "rsp") if n in fields and n != used), None)
    if name is None:
        return None
    samples, offset = _counts(fields.signal(name), fields.scale("scale"))
    return Channel(samples, rate, name, "scaled", offset=offset)


def _phone_camera(fields: _Fields, asked: Asked) -> Recording:
    """Welltory: mean colours of a finger on the lens, uneven frame times in ms, made uniform at the mean rate."""
    if (
        "t_ms" not in fields
        or fields["rgb"].ndim != 2
        or fields["rgb"].shape[1] != 3
        or fields["rgb"].dtype.kind not in "iuf"
    ):
        raise RecordingError("rgb needs t_ms and three columns", where=asked.name, field="rgb", cure="Store both")
    asked.only_channel(*CAMERA_CHANNELS)
    colour = (asked.channel or "red").strip().lower()
    values = fields["rgb"][:, CAMERA_CHANNELS.index(colour)]
    t = fields.signal("t_ms").astype(np.float64) / 1000.0
    if len(t) != len(values):
        raise RecordingError(
            f"{len(t)} times for {len(values)} frames", where=asked.name, field="t_ms", cure="Store one each"
        )
    clock = uniform_clock(t, asked.name, "t_ms")
    # Blood absorbs light: less red is more blood, so the pulse is the negative of the brightness.
    samples, offset = single(clock.lay(-values.astype(np.float64)))
    labels = {"rr_ms": fields["rr_ms"]} if "rr_ms" in fields else {}
    ppg = Channel(samples, asked.rate(clock.rate_hz, "t_ms"), colour, "brightness", offset=offset)
    return Recording(ppg, asked.subject or asked.stem, asked.name, labels=labels, notices=clock.notices)
