"""Measures the speed of a study: by number of workers, and by step on one."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onwrist.firmware_sim.study.conduct import cluster, conduct, open_study
from onwrist.firmware_sim.study.kit import make_kit
from onwrist.firmware_sim.study.part import Job, play_part
from onwrist.firmware_sim.study.plan import Setting, make_plan
from onwrist.firmware_sim.study.store import Store
from onwrist.firmware_sim.study.synthetic import sources, write_person
from onwrist.signals.people.cohort import Progress, silent

MILLION = 1e6


def make_people(folder: Path, people: int, hours: float, progress: Progress = silent) -> list[str]:
    """Write those made-up people that are not there yet; returns their paths."""
    of = sources()
    paths = [folder / f"{hours:g}h" / f"P{i:05d}.npz" for i in range(people)]
    for i, path in progress([(i, p) for i, p in enumerate(paths) if not p.exists()], "making people"):
        write_person(path, of, i, hours)
    return [str(p) for p in paths]


def measure(
    recordings: Sequence[str], size: str, hop_s: float, workers: Sequence[int], progress: Progress = silent
) -> dict[str, Any]:
    """Play recordings with each number of workers, into folders that are thrown away.

    Returns:
        runs: per number of workers seconds (workers started and warm), hours per hour (times real time) in all and per
        CPU second of the workers, most memory of a worker (MB). equal: whether every run wrote the same files.
    """
    setting: dict[str, Any] = {"size": size, "hop_s": hop_s, "sensor_hz": 64, "bits": 19, "float_share": 0.0}
    kit = make_kit(size, setting)
    # Two parts for each of eight workers at least, or the last part decides.
    most = max(1, sum(os.path.getsize(r) for r in recordings) // 64)
    plan = make_plan(Setting(digest=kit.digest, part_bytes=most, **setting), recordings)
    runs, files = [], []
    for count in workers:
        with tempfile.TemporaryDirectory() as folder, cluster(count) as client:
            warm = Store(f"{folder}/warm")
            open_study(warm, plan, kit)
            client.run(_warm, Job(warm.url, plan.setting, 0, plan.parts[0]))
            store = Store(f"{folder}/study")
            open_study(store, plan, kit)
            before = client.run(_used)
            began = time.perf_counter()
            found = conduct(store, plan, client, progress)
            seconds = time.perf_counter() - began
            after = client.run(_used)
            busy = sum(after[w][0] - before[w][0] for w in after)
            files.append(found["files"])
            runs.append(
                {
                    "workers": count, "seconds": seconds, "hours": found["hours"],
                    "times_real_time": 3600 * found["hours"] / seconds, "per_cpu": 3600 * found["hours"] / busy,
                    "cpu_seconds": busy, "memory_mb": max(m for _, m in after.values()),
                }
            )  # fmt: skip
    return {
        "size": size, "hop_s": hop_s, "recordings": len(recordings), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0], "runs": runs, "equal": all(f == files[0] for f in files),
    }  # fmt: skip


def _warm(job: Job) -> None:
    """Compile and load what a worker needs once; parts overlap, so each worker writes its own folder."""
    own = Store(f"{job.out}-{os.getpid()}")
    from onwrist.firmware_sim.study.kit import FOLDER

    for name in Store(job.out).sizes(FOLDER):
        own.write(f"{FOLDER}/{name}", Store(job.out).read(f"{FOLDER}/{name}"))
    play_part(Job(own.url, job.setting, job.number, job.sources[:1]))


def _used() -> tuple[float, float]:
    """CPU seconds and most memory (MB) of this process so far."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status")
    if not status.exists():
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    # What `getrusage` calls a process's most is also what its parent held when it was started.
    most = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return used.ru_utime + used.ru_stime, int(most.split()[1]) / 1024


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    first = found["runs"][0]
    lines = [
        f"{found['size']}, hop {found['hop_s']:g} s, {found['recordings']} recordings, {first['hours']:.0f} h; "
        f"{found['machine']}, load {found['load']:.1f}; the same files with every number of workers: "
        f"{'yes' if found['equal'] else 'NO'}",
        "",
        "| workers | seconds | times real time | times the first | per CPU second | core hours per million hours | MB a worker |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in found["runs"]:
        lines.append(
            f"| {r['workers']} | {r['seconds']:.1f} | {r['times_real_time']:,.0f} | {first['seconds'] / r['seconds']:.2f} | "
            f"{r['per_cpu']:,.0f} | {MILLION / r['per_cpu']:.0f} | {r['memory_mb']:.0f} |"
        )
    return "\n".join(lines)
