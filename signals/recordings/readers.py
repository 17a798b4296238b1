"""Files to `Recording`s. `read_recording(path)` picks the reader by what the path is.

Supported: `.npz` of the shared sets, WFDB (`.hea`), EDF / BDF, an Empatica E4 folder, CSV, and HDF5 in the
layout of the xMAE authors' pipeline. A reader never repairs silently: missing samples become NaN, anything
else that is wrong raises `RecordingError` naming file, field and cure.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onwrist.errors import RecordingError
from onwrist.signals.recordings.recording import Channel, Recording

MISSING_COUNT = -32768
PPG_NAMES = ("ppg", "pleth", "bvp", "ppg_ir", "ppg_green", "green", "ir", "pleth_ir", "signal", "value")
ECG_NAMES = ("ecg", "ekg", "ecg_ii", "ii", "mlii", "ecg_i", "i", "v", "v5", "ecg1")
RESP_NAMES = ("resp", "rsp", "respiration")
TIME_NAMES = ("time", "t", "timestamp", "time_s", "t_s", "t_ms", "time_ms", "unix", "ts")
# Phone and logger clocks jitter by some per cent; above this the stamps are not one clock at all.
MAX_GAP_SHARE = 0.5


def read_recording(
    path: str | Path, *, rate_hz: float | None = None, channel: str | None = None, subject: str | None = None
) -> Recording:
    """Read one recording.

    Args:
        path: file or E4 folder.
        rate_hz: sampling rate; needed for CSV without a time column and for HDF5 without one.
        channel: name of the PPG channel, where the file has several or an unusual name.
        subject: person id; default is the file's own, else the file's stem.

    Raises:
        RecordingError: missing, unreadable, empty, or not understood.
    """
    path = Path(path)
    if not path.exists() and not path.with_suffix(".hea").exists():
        raise RecordingError("no such file or folder", where=path, cure="Check the path")
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            return _read_e4(path, subject)
        if suffix == ".npz":
            return _read_npz(path, subject)
        if suffix in (".edf", ".bdf"):
            return _read_edf(path, channel, subject)
        if suffix in (".h5", ".hdf5"):
            return next(iter_hdf5(path, rate_hz=rate_hz))
        if suffix in (".csv", ".tsv", ".txt"):
            return _read_csv(path, rate_hz, channel, subject)
        if suffix in (".hea", ".dat") or path.with_suffix(".hea").exists():
            return _read_wfdb(path, channel, subject)
    except RecordingError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, UnicodeDecodeError, IndexError) as error:
        raise RecordingError(
            f"cannot be read ({type(error).__name__}: {error})",
            where=path,
            cure="The file is damaged or of another kind",
        ) from error
    raise RecordingError(
        f"unknown kind of file '{suffix}'", where=path, cure="Use .npz, .csv, .hea (WFDB), .edf, .h5 or an E4 folder"
    )


# --- the shared .npz sets -------------------------------------------------------------------------


def _read_npz(path: Path, subject: str | None) -> Recording:
    with np.load(path, allow_pickle=False) as data:
        fields = {name: data[name] for name in data.files}
    if "rgb" in fields:
        return _phone_camera(path, fields, subject)
    if "ppg" not in fields:
        raise RecordingError(f"no field 'ppg' (has {', '.join(sorted(fields))})", where=path, cure="Add one")
    if "fs_ppg" not in fields:
        raise RecordingError("no sampling rate", where=path, field="fs_ppg", cure="Store the rate in Hz")
    ppg = fields["ppg"]
    if ppg.ndim != 1:
        raise RecordingError(
            f"shape {ppg.shape}: windows, not a recording",
            where=path,
            field="ppg",
            cure="Cut sets are read with signals.cohort",
        )
    scale = float(fields.get("ppg_gain", fields.get("ppg_scale", fields.get("scale", fields.get("adc_scale", 1.0)))))
    baseline = float(fields.get("ppg_baseline", 0.0))
    units = str(fields.get("ppg_units", "scaled" if scale != 1.0 else "counts"))
    rate = float(fields["fs_ppg"])
    start = _scalar(fields, "t0_unix")
    ecg = acc = resp = None
    if "ecg" in fields:
        ecg_scale = float(fields.get("ecg_gain_per_mV", fields.get("scale", fields.get("adc_scale", 1.0))))
        samples = _counts(fields["ecg"], ecg_scale, float(fields.get("ecg_baseline", 0.0)))
        ecg = Channel(samples, float(fields.get("fs_ecg", rate)), str(fields.get("ecg_lead", "ecg")), "mV")
    if "acc" in fields:
        raw = fields["acc"] if fields["acc"].shape[-1] == 3 else fields["acc"].T
        samples = raw.astype(np.float32) / float(fields.get("acc_lsb_per_g", 1.0))
        offset = (_scalar(fields, "acc_t0_unix") or start or 0.0) - (start or 0.0)
        acc = Channel(samples, float(fields["fs_acc"]), "acc", "g", offset)
    for name in ("resp", "rsp"):
        if name in fields:
            resp = Channel(_counts(fields[name], float(fields.get("scale", 1.0))), rate, name, "scaled")
    used = {"ppg", "ecg", "acc", "resp", "rsp"}
    labels = {name: value for name, value in fields.items() if name not in used}
    person = subject or str(fields.get("subject", fields.get("record", path.stem)))
    return Recording(
        Channel(_counts(ppg, scale, baseline), rate, "ppg", units), person, str(path), start, ecg, acc, resp, labels
    )


def _counts(raw: np.ndarray, scale: float, baseline: float = 0.0) -> np.ndarray:
    values = (raw.astype(np.float32) - baseline) / scale
    if raw.dtype == np.int16:
        values[raw == MISSING_COUNT] = np.nan
    return values.astype(np.float32)


def _scalar(fields: dict[str, np.ndarray], name: str) -> float | None:
    return float(fields[name]) if name in fields else None


def _phone_camera(path: Path, fields: dict[str, np.ndarray], subject: str | None) -> Recording:
    """Welltory: mean red of a finger on the lens, uneven frame times in ms, made uniform at the mean rate."""
    t = fields["t_ms"].astype(np.float64) / 1000.0
    # Blood absorbs light: less red is more blood, so the pulse is the negative of the brightness.
    samples, rate = _uniform(t, -fields["rgb"][:, 0].astype(np.float64), path)
    labels = {"rr_ms": fields["rr_ms"]} if "rr_ms" in fields else {}
    return Recording(Channel(samples, rate, "red", "brightness"), subject or path.stem, str(path), labels=labels)


def _uniform(t: np.ndarray, x: np.ndarray, path: Path) -> tuple[np.ndarray, float]:
    """Uneven stamps (seconds, increasing) to a uniform grid at the median step; returns samples and rate."""
    step = np.diff(t)
    if len(step) == 0 or np.any(~np.isfinite(step)) or np.any(step <= 0):
        raise RecordingError(
            "times do not increase", where=path, field="time", cure="Sort the rows and drop repeated stamps"
        )
    median = float(np.median(step))
    if np.mean(np.abs(step - median) > median) > MAX_GAP_SHARE:
        raise RecordingError("times are not one clock", where=path, field="time", cure="Give rate_hz instead")
    rate = 1.0 / median
    nearest = round(rate)
    if nearest and abs(rate - nearest) < 0.01 * nearest:
        rate = float(nearest)
    grid = np.arange(t[0], t[-1], 1.0 / rate)
    y = np.interp(grid, t, x)
    # A hole longer than five steps is a gap, not jitter: say so with NaN.
    right = np.clip(np.searchsorted(t, grid, side="left"), 1, len(t) - 1)
    y[(t[right] - t[right - 1]) > 5 * median] = np.nan
    return y.astype(np.float32), rate


# --- WFDB, EDF ------------------------------------------------------------------------------------


def _pick(names: list[str], wanted: tuple[str, ...], path: Path, channel: str | None = None) -> int | None:
    lowered = [n.strip().lower() for n in names]
    if channel is not None:
        if channel.lower() not in lowered:
            raise RecordingError(
                f"no channel '{channel}'", where=path, cure=f"Choose one of: {', '.join(names) or '(none)'}"
            )
        return lowered.index(channel.lower())
    return next((lowered.index(w) for w in wanted if w in lowered), None)


def _need_ppg(names: list[str], path: Path, channel: str | None) -> int:
    at = _pick(names, PPG_NAMES, path, channel)
    if at is None:
        raise RecordingError(
            "no PPG channel found", where=path, cure=f"Name it with channel=...; the file has: {', '.join(names)}"
        )
    return at


def _read_wfdb(path: Path, channel: str | None, subject: str | None) -> Recording:
    import wfdb

    record = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
    names = list(record.sig_name)
    per_frame = record.samps_per_frame

    def take(at: int | None) -> Channel | None:
        if at is None:
            return None
        return Channel(record.e_p_signal[at].astype(np.float32), record.fs * per_frame[at], names[at], record.units[at])

    ppg = take(_need_ppg(names, path, channel))
    start = record.base_datetime.timestamp() if getattr(record, "base_datetime", None) else None
    return Recording(
        ppg,
        subject or record.record_name,
        str(path),
        start,
        ecg=take(_pick(names, ECG_NAMES, path)),
        resp=take(_pick(names, RESP_NAMES, path)),
    )


def _read_edf(path: Path, channel: str | None, subject: str | None) -> Recording:
    import pyedflib

    with pyedflib.EdfReader(str(path)) as edf:
        names = edf.getSignalLabels()

        def take(at: int | None) -> Channel | None:
            if at is None:
                return None
            samples = edf.readSignal(at).astype(np.float32)
            return Channel(samples, edf.getSampleFrequency(at), names[at], edf.getPhysicalDimension(at))

        ppg = take(_need_ppg(names, path, channel))
        start = edf.getStartdatetime().timestamp()
        person = subject or edf.getPatientCode() or path.stem
        return Recording(
            ppg,
            person,
            str(path),
            start,
            ecg=take(_pick(names, ECG_NAMES, path)),
            resp=take(_pick(names, RESP_NAMES, path)),
        )


# --- CSV, Empatica E4 -----------------------------------------------------------------------------


def _read_csv(path: Path, rate_hz: float | None, channel: str | None, subject: str | None) -> Recording:
    with path.open(newline="") as handle:
        sample = handle.read(4096)
        if not sample.strip():
            raise RecordingError("is empty", where=path, cure="Check that the file is complete")
        handle.seek(0)
        delimiter = max(",;\t", key=sample.count)
        rows = [row for row in csv.reader(handle, delimiter=delimiter) if row]
    header = [] if _is_number(rows[0][0]) else [cell.strip() for cell in rows.pop(0)]
    if not rows:
        raise RecordingError("has a header and no rows", where=path, cure="Check that the file is complete")
    names = header or [f"column{i}" for i in range(len(rows[0]))]
    table = np.full((len(rows), len(names)), np.nan)
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise RecordingError(
                f"row {i + 1 + bool(header)} has {len(row)} cells, not {len(names)}", where=path, cure="Mend the row"
            )
        for j, cell in enumerate(row):
            if cell.strip().lower() not in ("", "nan", "na", "null"):
                try:
                    table[i, j] = float(cell)
                except ValueError:
                    raise RecordingError(
                        f"'{cell}' in row {i + 1 + bool(header)} is not a number",
                        where=path,
                        field=names[j],
                        cure="Leave missing samples empty",
                    ) from None
    at = _pick(names, PPG_NAMES, path, channel)
    time_at = _pick(names, TIME_NAMES, path)
    if at is None:
        free = [j for j in range(len(names)) if j != time_at]
        if len(free) != 1:
            raise RecordingError(
                "cannot tell which column is the PPG", where=path, cure=f"Name it with channel=...: {', '.join(names)}"
            )
        at = free[0]
    start = None
    ecg_at = _pick(names, ECG_NAMES, path)
    ecg = None
    if rate_hz is None:
        if time_at is None:
            raise RecordingError("no time column and no rate", where=path, cure="Give rate_hz (--rate-hz)")
        t = table[:, time_at] * _time_unit(names[time_at], table[:, time_at])
        start = float(t[0]) if t[0] > 1e8 else None
        ppg, rate_hz = _uniform(t, table[:, at], path)
        if ecg_at is not None:
            ecg = Channel(_uniform(t, table[:, ecg_at], path)[0], rate_hz, names[ecg_at], "file")
    else:
        ppg = table[:, at].astype(np.float32)
        if ecg_at is not None:
            ecg = Channel(table[:, ecg_at].astype(np.float32), rate_hz, names[ecg_at], "file")
    return Recording(Channel(ppg, rate_hz, names[at], "file"), subject or path.stem, str(path), start, ecg=ecg)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _time_unit(name: str, t: np.ndarray) -> float:
    """Seconds per unit of a time column: by its name, else by its step (a PPG step is 1 to 200 ms)."""
    if "ms" in name.lower():
        return 1e-3
    step = float(np.nanmedian(np.diff(t))) if len(t) > 1 else 1.0
    return 1e-3 if step >= 1.0 else 1.0


def _read_e4(folder: Path, subject: str | None) -> Recording:
    """Empatica E4 export: each CSV has its start (UTC) in row 1 and its rate in row 2."""
    if not (folder / "BVP.csv").exists():
        raise RecordingError("no BVP.csv", where=folder, cure="Give the folder of an E4 export, or a file")

    def read(name: str) -> tuple[float, float, np.ndarray]:
        file = folder / name
        try:
            table = np.loadtxt(file, delimiter=",", ndmin=2)
        except ValueError as error:
            raise RecordingError(f"not an E4 table ({error})", where=file, cure="Export it again") from None
        if len(table) < 3:
            raise RecordingError("has no samples", where=file, cure="Export it again")
        return float(table[0, 0]), float(table[1, 0]), table[2:].astype(np.float32)

    start, rate, bvp = read("BVP.csv")
    acc = None
    if (folder / "ACC.csv").exists():
        acc_start, acc_rate, xyz = read("ACC.csv")
        acc = Channel(xyz / 64.0, acc_rate, "acc", "g", acc_start - start)  # 64 LSB per g (Empatica)
    return Recording(Channel(bvp[:, 0], rate, "BVP", "nW"), subject or folder.name, str(folder), start, acc=acc)


# --- HDF5 of the authors' pipeline ------------------------------------------------------------------


def iter_hdf5(path: str | Path, *, rate_hz: float | None = None) -> Iterator[Recording]:
    """Every segment of an HDF5 file as a recording.

    Layouts: `user/segment` datasets of shape (n, 3) with columns time, ppg, ecg (the authors' shards), or flat
    datasets `ppg` (windows, n) with optional `ecg`, `subject` and any label of the same length.

    Raises:
        RecordingError: neither layout, or a rate that the file does not tell.
    """
    import h5py

    path = Path(path)
    with h5py.File(path, "r") as file:
        if "ppg" in file and isinstance(file["ppg"], h5py.Dataset):
            yield from _flat_hdf5(file, path, rate_hz)
            return
        found = False
        for user, group in file.items():
            if not isinstance(group, h5py.Group):
                continue
            for name, segment in group.items():
                table = np.asarray(segment, np.float64)
                if table.ndim != 2 or table.shape[1] < 2:
                    raise RecordingError(
                        f"shape {table.shape}", where=path, field=f"{user}/{name}", cure="Columns are time, ppg, ecg"
                    )
                found = True
                # The authors store float16: time stamps are too coarse to difference, their span is not.
                span = float(table[-1, 0] - table[0, 0])
                rate = rate_hz or float(round((len(table) - 1) / span)) if span > 0 else rate_hz
                if not rate:
                    raise RecordingError("no rate", where=path, field=f"{user}/{name}", cure="Give rate_hz")
                ecg = None
                if table.shape[1] > 2:
                    ecg = Channel(table[:, 2].astype(np.float32), rate, "ecg", "min-max")
                ppg = Channel(table[:, 1].astype(np.float32), rate, "ppg", "min-max")
                yield Recording(ppg, str(user), f"{path}:{user}/{name}", ecg=ecg)
        if not found:
            raise RecordingError("holds no segment", where=path, cure="Expected user/segment tables, or flat 'ppg'")


def _flat_hdf5(file, path: Path, rate_hz: float | None) -> Iterator[Recording]:
    ppg = np.atleast_2d(np.asarray(file["ppg"], np.float32))
    rate = rate_hz or file.attrs.get("fs") or file["ppg"].attrs.get("fs")
    if not rate:
        raise RecordingError("no rate", where=path, field="ppg", cure="Give rate_hz, or store it as attribute 'fs'")
    same_length = {k: np.asarray(v) for k, v in file.items() if k != "ppg" and len(v.shape) and v.shape[0] == len(ppg)}
    people = next((same_length.pop(k) for k in ("subject", "user_id", "user", "subject_id") if k in same_length), None)
    ecgs = same_length.pop("ecg", None)
    for i, row in enumerate(ppg):
        who = people[i] if people is not None else path.stem
        who = who.decode() if isinstance(who, bytes) else str(who)
        ecg = None if ecgs is None else Channel(ecgs[i].astype(np.float32), float(rate), "ecg", "file")
        labels = {name: values[i] for name, values in same_length.items()}
        yield Recording(Channel(row, float(rate), "ppg", "file"), who, f"{path}:{i}", ecg=ecg, labels=labels)
