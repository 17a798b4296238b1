"""A job on a stranger's files in a process of its own, with limits: what crashes or hangs there is a line in the verdict.

These are limits, not a sandbox: they bound time, memory and disk. Address space and file sizes are bounded where the
system knows how (POSIX); the time is bounded everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

# Of a job on the clock and on its processor: the largest shipped student takes 10 s, a machine may be busy with other things.
SECONDS, CPU_SECONDS = 600, 180
# Address space, not memory in use: interpreters and compilers reserve much more than they touch.
ADDRESS_BYTES = 6 << 30
# Of any one file that a job or a compiler that it starts may write; an image is a tenth of it.
FILE_BYTES = 64 << 20
# Of what a job may answer.
ANSWER_BYTES = 1 << 20
STATES = ("ok", "FAIL", "not run", "not checked")


@dataclass(frozen=True)
class Row:
    """One thing that was checked: its state (one of STATES), what it was, and what was found."""

    state: str
    what: str
    found: str


def check(what: str, wrong: str, right: str = "") -> Row:
    """A row of what was checked: failed if there is a word of what is wrong."""
    return Row("FAIL" if wrong else "ok", what, wrong or right)


def confined(job: str, given: Any, *, seconds: float = SECONDS) -> list[Row]:
    """Rows of `jobs.JOBS[job]`, run on `given` in a process of its own; never raises for what happens there."""
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as answer:
        # -P and an empty folder: nothing that lies in a working directory is imported.
        command = [sys.executable, "-P", "-m", "onwrist.firmware_sim.handoff.jobs", job]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=answer, stderr=subprocess.DEVNULL, cwd=empty,
            env={**os.environ, **threads}, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(pickle.dumps(given), timeout=seconds)
        except subprocess.TimeoutExpired:
            return [Row("FAIL", job, f"did not end within {seconds:g} s")]
        except BaseException:
            _end(process)
            raise
        finally:
            _end(process)
        answer.seek(0)
        text = answer.read(ANSWER_BYTES + 1)
    return _rows(job, text, process.returncode)


def _end(process: subprocess.Popen) -> None:
    """The job and whatever it started."""
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _rows(job: str, text: bytes, status: int) -> list[Row]:
    try:
        rows = [Row(*(str(cell) for cell in row)) for row in json.loads(text)]
        if status == 0 and rows and all(row.state in STATES for row in rows):
            return rows
    except (ValueError, TypeError, RecursionError):
        pass
    how = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return [Row("FAIL", job, f"{how}: a crash, or more than {ADDRESS_BYTES >> 30} GiB")]


def limit_myself() -> None:
    """Limits of the process that calls, and of all that it starts."""
    try:
        import resource
    except ImportError:  # no POSIX: the caller's clock is the only limit
        return
    limits = {
        resource.RLIMIT_AS: ADDRESS_BYTES, resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }  # fmt: skip
    for kind, most in limits.items():
        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(kind)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
