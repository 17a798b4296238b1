"""Any encoder as a teacher: brought to the windows that this project cuts, and looked at before it is believed.

A window is 10 s of PPG (or as long as a spec says), 0.5-8 Hz, at 100 Hz, scaled to [-1, 1]; an encoder that wants another
rate or scale gets it here, so that nobody resamples inside a `forward`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onwrist.errors import CheckpointError
from onwrist.models.encoders.checkpoint import embedding_width, load_encoder
from onwrist.signals.pulse.clean import TEACHER_RATE_HZ, WINDOW_S

# Embeddings of different people's pulses that all point the same way within half a degree teach nothing.
SAME_ANSWER = 0.99996
# Spread of an embedding's coordinates over windows, relative to their size, below which it is a constant in all but name.
LEAST_SPREAD = 1e-5


class Adapted(nn.Module):
    """An encoder behind this project's windows.

    Args:
        encoder: takes (B, round(window_s * rate_hz)) float32, returns (B, d).
        rate_hz: its own rate. window_s: of a window.
        scaling: "min-max" (to [-1, 1]) or "z-score", of each window; "none" takes it as it comes.
    """

    def __init__(
        self,
        encoder: nn.Module,
        rate_hz: float = TEACHER_RATE_HZ,
        scaling: str = "min-max",
        window_s: float = WINDOW_S,
    ):
        super().__init__()
        self.encoder, self.scaling = encoder, scaling
        self.samples = round(window_s * rate_hz)

    def forward(self, wave: Tensor) -> Tensor:
        """(B, 1000) in [-1, 1] to (B, d)."""
        if wave.shape[-1] != self.samples:
            # The windows hold nothing above 8 Hz, so that a straight line between samples is exact enough.
            wave = F.interpolate(wave.unsqueeze(1), self.samples, mode="linear", align_corners=True).squeeze(1)
        if self.scaling == "z-score":
            wave = (wave - wave.mean(-1, keepdim=True)) / wave.std(-1, keepdim=True).clamp(min=1e-6)
        return self.encoder(wave)


class FromOnnx(nn.Module):
    """An encoder that is an ONNX file alone: distillation needs no more than its forward.

    Raises:
        CheckpointError: no ONNX that runs here, or not one input and one output.
    """

    def __init__(self, path: Path):
        super().__init__()
        import onnxruntime

        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # whatever a damaged file makes the runtime raise
            raise CheckpointError(
                f"is no ONNX that runs here ({error})"[:200], where=path, cure="Export it again"
            ) from None
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or not outputs:
            raise CheckpointError(
                f"has {len(inputs)} inputs",
                where=path,
                cure="Export the encoder alone: one window in, one embedding out",
            )
        self.name, self.channels = inputs[0].name, len(inputs[0].shape) == 3
        self.one_by_one = inputs[0].shape[0] == 1

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) to (B, d); a file whose input is (B, 1, n) gets that."""
        rows = wave.detach().numpy().astype(np.float32)
        rows = rows[:, None] if self.channels else rows
        parts = [rows[i : i + 1] for i in range(len(rows))] if self.one_by_one else [rows]
        found = np.concatenate([self.session.run(None, {self.name: part})[0] for part in parts])
        return torch.from_numpy(found.reshape(len(rows), -1))


class FromKeras(nn.Module):
    """An encoder of Keras or TensorFlow: a `.keras` or `.h5` file, or the folder of a SavedModel.

    A `.keras` file may hold code of whoever wrote it; Keras runs none of that (safe mode). A SavedModel is a graph.

    Raises:
        CheckpointError: TensorFlow is not there, or it is no model of one window.
    """

    def __init__(self, path: Path):
        super().__init__()
        try:
            import tensorflow as tf
        except ImportError:
            raise CheckpointError(
                "is for TensorFlow, which is not installed", where=path, cure="pip install 'onwrist[tensorflow]'"
            ) from None
        self.tf = tf
        try:
            if path.is_dir():
                self.loaded = tf.saved_model.load(str(path))
                self.run = self.loaded.signatures["serving_default"]
                (given,) = self.run.structured_input_signature[1].values()
                self.name = given.name
                shape = given.shape
            else:
                self.run, self.name = tf.keras.models.load_model(path, compile=False, safe_mode=True), None
                shape = self.run.input_shape
            self.rank = len(shape)
        except Exception as error:  # whatever a damaged file makes TensorFlow raise
            raise CheckpointError(
                f"is no model of Keras or TensorFlow that runs here ({error})"[:200],
                where=path,
                cure="Save the encoder alone: one window in, one embedding out",
            ) from None

    def forward(self, wave: Tensor) -> Tensor:
        """(B, n) to (B, d); a model whose input is (B, n, 1) gets that."""
        rows = self.tf.constant(wave.detach().numpy().astype(np.float32))
        rows = rows[..., None] if self.rank == 3 else rows
        found = self.run(**{self.name: rows}) if self.name else self.run(rows, training=False)
        found = next(iter(found.values())) if isinstance(found, dict) else found
        return torch.from_numpy(np.array(found)).reshape(len(rows), -1)


def _foreign(source: str | None) -> nn.Module | None:
    """An encoder whose file says that it is of another framework; None for any other."""
    path = Path(source or "")
    if path.suffix == ".onnx":
        return FromOnnx(path)
    if path.suffix in (".keras", ".h5") or (source and (path / "saved_model.pb").is_file()):
        return FromKeras(path)
    return None


def load_teacher(
    source: str | None, rate_hz: float = TEACHER_RATE_HZ, scaling: str = "min-max", window_s: float = WINDOW_S
) -> nn.Module:
    """A teacher by whatever names it (see `Teacher` of the spec), behind this project's windows of `window_s`, in eval mode.

    Raises:
        CheckpointError: it is not there, or does not do what an encoder does.
    """
    encoder = _foreign(source) or load_encoder(source)
    plain = rate_hz == TEACHER_RATE_HZ and scaling == "min-max"
    teacher = encoder if plain else Adapted(encoder, rate_hz, scaling, window_s)
    embedding_width(teacher, round(window_s * TEACHER_RATE_HZ))
    return teacher.eval()


@torch.no_grad()
def examine(encoder: nn.Module, windows: np.ndarray, where: str) -> list[str]:
    """Look at what a teacher says of real windows (n, 1000) before it is imitated; words of warning, if any.

    Raises:
        CheckpointError: NaN, a constant, or the same answer for every signal: nothing could be learnt from it.
    """
    found = encoder(torch.from_numpy(windows)).float().numpy()
    bad = ~np.isfinite(found)
    if bad.any():
        raise CheckpointError(
            f"gives NaN or infinity in {int(bad.any(axis=1).sum())} of {len(found)} windows", where=where,
            cure="Look at its scaling, and at layers that divide",
        )  # fmt: skip
    spread, size = float(found.std(axis=0).mean()), float(np.abs(found).mean())
    if spread <= LEAST_SPREAD * max(size, 1e-12):
        raise CheckpointError(
            f"gives the same answer for every signal (spread {spread:.2g} at a size of {size:.2g})", where=where,
            cure="Load its weights; look at its input's scale",
        )  # fmt: skip
    unit = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    near = float((unit @ unit.T)[~np.eye(len(unit), dtype=bool)].mean())
    dead = int((found.std(axis=0) <= LEAST_SPREAD * max(size, 1e-12)).sum())
    said = []
    if near > SAME_ANSWER:
        said.append(
            f"embeddings of different people are alike (mean cosine {near:.5f}): only their small differences are learnt"
        )
    if dead:
        said.append(f"{dead} of {found.shape[1]} coordinates never move")
    return said
