"""The float student beside the INT8 watch: the same counts, the float front end, the float weights, every hop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from onwrist.firmware_sim.study.kit import STUDENT, Kit
from onwrist.firmware_sim.study.light import Light
from onwrist.firmware_sim.study.plan import Setting
from onwrist.signals.front_end.fixed import IN_COUNTS
from onwrist.signals.front_end.floating import STUDENT_RATE_HZ, FrontEnd

# Student samples per call: a quarter of an hour keeps the widest layer below 50 MB.
AT_ONCE = 900 * STUDENT_RATE_HZ


def fed(pieces: Iterable[Light], rate_hz: float, gap: str) -> Iterator[tuple[bool, np.ndarray]]:
    """What goes into the front end: (whether it starts anew, counts (n,)), gaps bridged as the watch bridges them.

    Args:
        gap: 'interpolate', 'hold' or 'reset'.
    """
    from onwrist.export.sources.watch_rules import MAX_BRIDGE_S

    expected, last = None, 0.0
    for piece in pieces:
        edges = np.flatnonzero(np.diff(piece.present.astype(np.int8), prepend=0, append=0))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            first, counts = piece.first + int(a), piece.counts[a:b].astype(np.float64)
            missing = None if expected is None else first - expected
            bridged = (
                missing is not None and missing <= int(MAX_BRIDGE_S * rate_hz) and (gap != "reset" or missing == 0)
            )
            if bridged and missing:
                line = (
                    np.linspace(last, counts[0], missing + 2)[1:-1] if gap == "interpolate" else np.full(missing, last)
                )
                counts = np.concatenate([np.rint(line), counts])
            yield not bridged, counts
            expected, last = piece.first + int(b), float(counts[-1])


class RealStudent:
    """The float student of a kit."""

    def __init__(self, kit: Kit, setting: Setting):
        import tempfile
        from pathlib import Path

        import torch

        from onwrist.quantize.teaching.student_files import load_student

        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / STUDENT
            path.write_bytes(kit.student)
            self.student, _ = load_student(path)
        self.kit, self.setting = kit, setting

    def outputs(self, pieces: Iterable[Light]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Embedding (n, width) and answers (n, k) of the hops in order, in blocks; NaN while the window warms up."""
        front_end = FrontEnd(self.setting.sensor_hz, IN_COUNTS)
        line, done, at = np.zeros(0, np.float32), 0, 0
        for anew, counts in fed(pieces, self.setting.sensor_hz, self.setting.gap):
            if anew:
                if at:
                    yield from self._hops(line, at, done)
                front_end.reset()
                line, done, at = np.zeros(0, np.float32), 0, 0
            new = front_end.push(counts)
            line, at = np.concatenate([line, new]), at + len(new)
            while at // self.kit.hop - done >= AT_ONCE // self.kit.hop:
                upto = done + AT_ONCE // self.kit.hop
                yield from self._hops(line, at, done, upto)
                done = upto
                keep = at - done * self.kit.hop + self.kit.window
                line = line[max(0, len(line) - keep) :]
        if at:
            yield from self._hops(line, at, done)

    def _hops(self, line: np.ndarray, at: int, done: int, upto: int | None = None):
        """Hops done ... upto of a stream of `at` samples whose last ones are `line`."""
        hop, window = self.kit.hop, self.kit.window
        upto = at // hop if upto is None else upto
        if upto <= done:
            return
        width, answers = self.kit.contract["embedding"]["shape"][-1], len(self.kit.units)
        out = np.full((upto - done, width + answers), np.nan, np.float32)
        # The first hop whose window is whole.
        first = max(done, -(-window // hop) - 1)
        if first < upto:
            start = at - len(line)
            x = line[(first + 1) * hop - window - start : upto * hop - start]
            out[first - done :] = self._said(np.ascontiguousarray(x))
        yield out[:, :width], out[:, width:]

    def _said(self, x: np.ndarray) -> np.ndarray:
        """(n,) to embedding and answers side by side, (m, C), at the end of the first window and every hop after it."""
        import torch

        from onwrist.models.student.network import Student

        line, hop = torch.from_numpy(x), self.kit.hop
        with torch.no_grad():
            if isinstance(self.student, Student):
                every = slice(None, None, hop // self.kit.stride)
                return np.concatenate([y[0].numpy().T[every] for y in self.student.sequence(line[None])], axis=1)
            # Of a user's network only the newest output of each window is known.
            embedding, answers, *_ = self.student(line.unfold(0, self.kit.window, hop))
            return np.concatenate([embedding.numpy(), answers.numpy()], axis=1)


class Beside:
    """Hands out the rows of blocks by count."""

    def __init__(self, blocks: Iterator[tuple[np.ndarray, np.ndarray]]):
        self.blocks = blocks
        self.held: list[tuple[np.ndarray, np.ndarray]] = []

    def take(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The next `count` rows.

        Raises:
            ValueError: the float student and the watch disagree on the number of hops, which is a fault of this program.
        """
        while sum(len(e) for e, _ in self.held) < count:
            block = next(self.blocks, None)
            if block is None:
                raise ValueError("the float student has fewer hops than the watch")
            self.held.append(block)
        embedding, answers = (np.concatenate(part) for part in zip(*self.held, strict=True))
        self.held = [(embedding[count:], answers[count:])]
        return embedding[:count], answers[:count]
