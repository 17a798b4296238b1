"""The examples that students are distilled and quantised on: student windows, teacher embeddings, ECG labels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from onwrist.errors import ConfigError
from onwrist.models.encoders.checkpoint import embedding_width
from onwrist.models.student.network import EMBEDDING
from onwrist.quantize.teaching.augment import Motion, watch_version
from onwrist.quantize.teaching.motion import accelerations
from onwrist.quantize.teaching.questions import SHIPPED_QUESTIONS, Questions, label_windows
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ
from onwrist.signals.people.cohort import OPEN_SETS, Cohort, Progress, Track, cut, data_root, joined, prepare, silent
from onwrist.signals.people.material import Material
from onwrist.signals.people.split import check_disjoint, role
from onwrist.signals.pulse.beats import RHYTHM_RECALL, agreement
from onwrist.signals.pulse.clean import WINDOW_S
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Recording
from onwrist.writing import written_whole

# Below this correlation with the undisturbed signal the pulse is gone: bad quality, nothing to imitate.
DROWNED, FOLLOWED = 0.4, 0.7
TEACHER_BATCH = 256
# Closest windows of a version, however fast it is played.
MIN_HOP_S = 3.0
# The beat map is asked for this much late: the front end is 0.2 s behind, and an upslope wants to be seen whole.
BEAT_LAG_S = 0.6
# Relative RMSSD and SDNN below this are the detector's jitter.
LEAST_VARIABILITY = 0.01


@dataclass
class Examples:
    """Training material.

    Attributes:
        x: float32 (n, window), student input with its context.
        embedding: float32 (n, width), standardised teacher embedding.
        labels: float32 (n, columns) as `questions.label_windows` gives them; NaN where unknown.
        detail: float32 (n, 2) log of RMSSD and of SDNN over the mean interval; NaN where unknown.
        beats: int8 (n, 250) pulses of the ECG's beats on the 25 Hz grid of the window; -1 where unknown.
        weight: float32 (n,) how far teacher and rate are to be learnt: 1 where the pulse is left, 0 where it is drowned,
            between the two where it is one of two rhythms and nobody could say which.
        records: name of each window's record.
    """

    x: np.ndarray
    embedding: np.ndarray
    labels: np.ndarray
    detail: np.ndarray
    beats: np.ndarray
    weight: np.ndarray
    records: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Standard:
    """From a teacher's embedding to what students learn: as wide as theirs, zero mean and unit spread over training people.

    Attributes:
        mean, std: (width,).
        basis: (d, width) for a teacher whose embedding is of another width, else None.
    """

    mean: np.ndarray
    std: np.ndarray
    basis: np.ndarray | None = None

    def apply(self, embedding: np.ndarray) -> np.ndarray:
        """(n, d) to (n, width)."""
        wide = embedding if self.basis is None else embedding @ self.basis
        return ((wide - self.mean) / self.std).astype(np.float32)


def common_width(embedding: np.ndarray, seed: int = 0, width: int = EMBEDDING) -> np.ndarray | None:
    """The map (d, width) that brings teachers of any width to the student's; None where they are equal.

    A narrower embedding is turned into the wider space, which keeps every angle. A wider one keeps its strongest principal
    components over (n, d), then turned: unturned, standardising would blow up the last of them.
    """
    own = embedding.shape[1]
    if own == width:
        return None
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]
    if own < width:
        return turn[:own].astype(np.float32)
    _, vectors = np.linalg.eigh(np.cov(embedding, rowvar=False))
    return (vectors[:, ::-1][:, :width] @ turn).astype(np.float32)


@torch.no_grad()
def embed_teacher(
    encoder: nn.Module, windows: np.ndarray, progress: Progress = silent, *, bf16: bool = False, device: str = "cpu"
) -> np.ndarray:
    """Teacher embeddings (n, d) of min-max windows (n, 1000); `bf16` is faster and good enough to learn from."""
    parts = []
    if next(encoder.parameters(), None) is None:
        device = "cpu"  # an ONNX file: its runtime computes where it computes
    encoder.to(device)
    for i in progress(range(0, len(windows), TEACHER_BATCH), "teacher"):
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            batch = torch.from_numpy(windows[i : i + TEACHER_BATCH]).to(device)
            parts.append(encoder(batch).float().cpu().numpy())
    encoder.to("cpu")
    return np.concatenate(parts) if parts else np.zeros((0, embedding_width(encoder)), np.float32)


def open_files(root: Path | None = None) -> list[tuple[str, Path]]:
    """(set, file) of every training recording of the sets whose licence reaches into shipped weights.

    Raises:
        ConfigError: none is there.
    """
    base = root or data_root()
    files = [(s, f) for s in OPEN_SETS for f in sorted((base / s).glob("*.npz")) if role(f.stem) == "train"]
    if not files:
        raise ConfigError("no open recordings", where=base, cure="Set ONWRIST_DATA to the folder of the sets")
    return files


def build(
    encoder: nn.Module | None,
    context: int,
    *,
    versions: int = 3,
    hop_s: float = 8.0,
    seed: int = 0,
    standard: Standard | None = None,
    root: Path | None = None,
    material: Material | None = None,
    questions: Questions = SHIPPED_QUESTIONS,
    width: int = EMBEDDING,
    scaled: bool = True,
    device: str = "cpu",
    progress: Progress = silent,
) -> tuple[Examples, Standard]:
    """Examples of every training person, `versions` watch-like versions of each recording.

    Args:
        encoder: the teacher, eval mode; None leaves the embeddings zero, for whoever needs only the windows.
        context: student samples before the 10 s.
        versions: augmented versions per recording.
        hop_s: between windows of one version, in the recording's own time.
        standard: of the student that goes on learning; None makes one from these examples.
        material: recordings of one's own, beside the open sets or in their place.
        questions: what the labels answer. width: of the student's embedding.
        scaled: the teacher's windows by their extremes, else in the recording's units. device: of the teacher.

    Raises:
        ConfigError: the sets are not there. SplitError: a test person would be trained on.
        CheckpointError: the encoder does not do what an encoder does.
    """
    if encoder is not None:
        embedding_width(encoder)
    rng = np.random.default_rng(seed)
    recordings = _sets(root, progress) if material is None or material.sets else []
    if material is not None:
        recordings += read_material(material, "train", progress)
    wrists = [(r, track) for r, track in recordings if track.source == "stress_predict"]
    motion = Motion([track.student for _, track in wrists], accelerations([r.acc for r, _ in wrists]))
    parts: list[Examples] = []
    basis = None if standard is None else standard.basis
    for _ in range(versions):
        versioned = [watch_version(r, track, rng, motion) for r, track in progress(recordings, "disturb")]
        # A version played faster is shorter: windows lie closer in it, so that fast pulses are not rarer for it.
        cohorts = [cut([t], float(np.clip(hop_s / f, MIN_HOP_S, WINDOW_S))) for t, _, f in versioned]
        cohort = joined(cohorts)
        raw = np.zeros((len(cohort), width), np.float32)
        if encoder is not None:
            raw = embed_teacher(encoder, cohort.teacher_windows(scaled=scaled), progress, bf16=True, device=device)
            if not parts and standard is None:
                basis = common_width(raw, seed, width)
            raw = raw if basis is None else raw @ basis
        labels = label_windows(cohort, questions, [track for _, track in recordings])
        clean = [clean for _, clean, _ in versioned]
        parts.append(_examples(cohort, clean, context, raw, labels, questions.quality))
    whole = Examples(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Examples)))
    if standard is None:
        standard = Standard(whole.embedding.mean(axis=0), whole.embedding.std(axis=0) + 1e-6)
    # Already in the common width.
    whole.embedding = replace(standard, basis=None).apply(whole.embedding)
    return whole, replace(standard, basis=basis)


def save_examples(path: Path, examples: Examples, standard: Standard) -> None:
    """Keep examples in one .npz; embeddings as float16, which is finer than students learn."""
    arrays = {f.name: getattr(examples, f.name) for f in fields(Examples)}
    arrays["embedding"] = arrays["embedding"].astype(np.float16)
    kept = {f"standard.{f.name}": v for f in fields(Standard) if (v := getattr(standard, f.name)) is not None}
    with written_whole(path) as part, part.open("wb") as file:
        np.savez(file, **arrays, **kept)


def load_examples(path: Path) -> tuple[Examples, Standard]:
    """What `save_examples` kept.

    Raises:
        ConfigError: another kind of file, or a damaged one.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            found = {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        cure = "Delete it; it is made again"
        raise ConfigError(f"cannot be read ({type(error).__name__})", where=path, cure=cure) from error
    missing = [f.name for f in fields(Examples) if f.name not in found]
    if missing:
        raise ConfigError(f"holds no examples (no {missing[0]})", where=path, cure="Delete it; it is made again")
    standard = Standard(**{f.name: v for f in fields(Standard) if (v := found.get(f"standard.{f.name}")) is not None})
    return Examples(**{f.name: found[f.name] for f in fields(Examples)}), standard


def _sets(root: Path | None, progress: Progress) -> list[tuple[Recording, Track]]:
    """The open sets' training recordings, prepared."""
    files = open_files(root)
    check_disjoint([f.stem for _, f in files], _test_names(root))
    found = []
    for source, file in progress(files, "read"):
        recording = read_recording(file)
        found.append((recording, prepare(recording, file.stem, source)))
    return found


def read_material(material: Material, side: str, progress: Progress = silent) -> list[tuple[Recording, Track]]:
    """One side of somebody's own recordings, prepared: `side` is "train" or "test"."""
    found = []
    for item in progress([i for i in material.items if i.role == side], f"read {side}"):
        recording = read_recording(item.path)
        track = prepare(recording, item.path.stem, "own")
        found.append((recording, replace(track, person=item.person, role=side, path=item.path.resolve())))
    return found


def _test_names(root: Path | None) -> list[str]:
    base = root or data_root()
    return [f.stem for f in base.glob("*/*.npz") if role(f.stem) == "test"]


def _examples(
    cohort: Cohort,
    clean: list[np.ndarray],
    context: int,
    embedding: np.ndarray,
    labels: np.ndarray,
    quality: int | None,
) -> Examples:
    tracks = cohort.tracks
    follow = np.empty(len(cohort), np.float32)
    for row, (i, start) in enumerate(zip(cohort.at, cohort.start_s, strict=True)):
        a, b = (round(t * STUDENT_RATE_HZ) for t in (start, start + WINDOW_S))
        x, y = tracks[i].student[a:b], clean[i][a:b]
        n = min(len(x), len(y))
        # Not by their spread: that of a constant is rounding, and its correlation none.
        moves = n > 10 and np.ptp(x[:n]) > 0 and np.ptp(y[:n]) > 0
        follow[row] = np.corrcoef(x[:n], y[:n])[0, 1] if moves else 0.0
    lost = follow < DROWNED
    labels[lost] = np.nan
    if quality is not None:
        labels[lost, quality] = 0.0
        # Between drowned and followed, good is no longer sure.
        unsure = (follow < FOLLOWED) & ~lost & (labels[:, quality] == 1.0)
        labels[unsure, quality] = np.nan
    return Examples(
        cohort.student_windows(context),
        embedding,
        labels,
        _detail(cohort),
        np.stack([_beat_map(tracks[i], start) for i, start in zip(cohort.at, cohort.start_s, strict=True)]),
        np.clip((follow - DROWNED) / (FOLLOWED - DROWNED), 0.0, 1.0).astype(np.float32),
        cohort.records,
    )


def _detail(cohort: Cohort) -> np.ndarray:
    mean_ms = 6e4 / cohort.labels["hr"]
    values = [np.log(np.maximum(cohort.labels[k] / mean_ms, LEAST_VARIABILITY)) for k in ("rmssd", "sdnn")]
    return np.stack(values, axis=1).astype(np.float32)


def _beat_map(track: Track, start_s: float) -> np.ndarray:
    """Pulses on the 25 Hz grid of a window, `BEAT_LAG_S` late: a causal layer has to see a pulse to find it."""
    found = np.full(int(WINDOW_S * STUDENT_RATE_HZ), -1, np.int8)
    begin = start_s - BEAT_LAG_S
    if track.beats is None or not np.isfinite(track.beats.delay_s) or begin < 0:
        return found
    if agreement(track.beats, start_s, start_s + WINDOW_S)[0] < RHYTHM_RECALL:
        return found
    found[:] = 0
    at = ((track.beats.r + track.beats.delay_s - begin) * STUDENT_RATE_HZ).astype(int)
    found[at[(at >= 0) & (at < len(found))]] = 1
    return found
