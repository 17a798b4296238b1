"""Conducts a study on Dask: hands out the parts that are not done, and closes the books when all are.

Dask does the distributing: it restarts workers that die and hands their parts to others. A study that was ended anyhow goes
on where its markers end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from onwrist.errors import ConfigError
from onwrist.firmware_sim.study.kit import FOLDER, Kit
from onwrist.firmware_sim.study.part import Job, play_part
from onwrist.firmware_sim.study.plan import SCHEMA_VERSION, Plan
from onwrist.firmware_sim.study.store import Store
from onwrist.firmware_sim.study.table import (
    FAILURE_SCHEMA,
    FAILURES,
    HOPS,
    MANIFEST,
    MARKERS,
    PLAN,
    RECORDING_SCHEMA,
    RECORDINGS,
    parquet_bytes,
)
from onwrist.signals.people.cohort import Progress, silent

# Parts per worker that are handed out ahead: the scheduler keeps none waiting and holds no study of a million parts.
AHEAD = 3
# Packages whose version can change a byte of the results.
PACKAGES = ("onwrist", "numpy", "scipy", "pyarrow", "ai-edge-litert", "torch")


@contextlib.contextmanager
def cluster(workers: int, scheduler: str | None = None) -> Iterator[Any]:
    """A Dask client: of a scheduler that runs elsewhere, or of worker processes on this machine (0: inside this one).

    Raises:
        ConfigError: no scheduler answers.
    """
    import dask
    from distributed import Client, LocalCluster

    # What a worker that was killed leaves in the log is no news here: its part goes to another.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set({"distributed.worker.daemon": False, "distributed.admin.log-length": 0})
    if scheduler:
        try:
            client = Client(scheduler, timeout="20s")
        except OSError as error:
            cure = "Start one (dask scheduler), or leave --scheduler out"
            raise ConfigError("no scheduler answers", where=scheduler, cure=cure) from error
        with client:
            yield client
        return
    local = LocalCluster(
        n_workers=max(1, workers), threads_per_worker=1, processes=workers > 0, dashboard_address=None, memory_limit=0,
        silence_logs=logging.CRITICAL,
    )  # fmt: skip
    with local, Client(local) as client:
        yield client


def open_study(store: Store, plan: Plan, kit: Kit) -> None:
    """Begin a study in a folder, or go on with the one there.

    Raises:
        ConfigError: the folder holds another study.
    """
    if store.exists(PLAN):
        there = json.loads(store.read(PLAN))
        wanted = json.loads(plan.text())
        if there != wanted:
            raise ConfigError(
                f"holds another study (its {_different(there, wanted)} differ)", where=store.url, field=PLAN,
                cure="Choose another --out, or delete this one",
            )  # fmt: skip
    for name, content in kit.files().items():
        if not store.exists(f"{FOLDER}/{name}"):
            store.write(f"{FOLDER}/{name}", content)
    if not store.exists(PLAN):
        store.write(PLAN, plan.text())


def _different(there: dict, wanted: dict) -> str:
    if there.get("schema") != wanted["schema"]:
        return "schema versions"
    settings = [k for k in wanted["setting"] if there["setting"].get(k) != wanted["setting"][k]]
    return "settings " + ", ".join(settings) if settings else "recordings"


def conduct(store: Store, plan: Plan, client: Any, progress: Progress = silent) -> dict[str, Any]:
    """Play what is not done and write the closing tables; returns the manifest.

    Raises:
        ConfigError: the study's folder cannot be read or written.
    """
    jobs = [Job(store.url, plan.setting, i, sources) for i, sources in enumerate(plan.parts)]
    done = store.sizes(MARKERS)
    left = [j for j in jobs if j.marker.split("/")[1] not in done]
    for _ in progress(_hand_out(client, left), "parts", total=len(left)):
        pass
    return close(store, plan)


def _hand_out(client: Any, jobs: list[Job]) -> Iterator[int]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    waiting = iter(jobs)
    # A new key for every try: a result that died with its worker is not asked for again.
    running = as_completed(with_results=False)
    of: dict[Any, Job] = {}

    def submit(job: Job) -> None:
        future = client.submit(play_part, job, pure=False)
        of[future.key] = job
        running.add(future)

    def refill() -> None:
        wanted = AHEAD * max(1, len(client.scheduler_info()["workers"]))
        while len(of) < wanted and (job := next(waiting, None)) is not None:
            submit(job)

    refill()
    for future in running:
        job = of.pop(future.key)
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker) and not job.apart:
            # One of its recordings ends every worker that plays it: the others shall not pay for it.
            submit(Job(job.out, job.setting, job.number, job.sources, apart=True))
        elif error is not None:
            raise error
        elif future.status == "cancelled":
            submit(job)
        else:
            yield job.number
        del future
        refill()


def close(store: Store, plan: Plan) -> dict[str, Any]:
    """Write recordings, failures and the manifest of a study whose parts are all done."""
    store.tidy(HOPS)
    store.tidy(MARKERS)
    markers = [json.loads(store.read(Job(store.url, plan.setting, i, s).marker)) for i, s in enumerate(plan.parts)]
    recordings = [r for m in markers for r in m["recordings"]]
    failures = [f for m in markers for f in m["failures"]]
    files = {m["file"]: {"sha256": m["sha256"], "bytes": m["bytes"], "rows": m["rows"]} for m in markers}
    for name, rows, schema in (
        (RECORDINGS, recordings, RECORDING_SCHEMA),
        (FAILURES, failures, FAILURE_SCHEMA),
    ):
        data = parquet_bytes(rows, schema)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": len(rows)}
        store.write(name, data)
    for name in sorted(store.sizes(FOLDER)):
        data = store.read(f"{FOLDER}/{name}")
        files[f"{FOLDER}/{name}"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    found = {
        "schema": SCHEMA_VERSION, "packages": _versions(), "machine": platform.machine(),
        "plan_sha256": hashlib.sha256(plan.text()).hexdigest(), "setting": plan.plain()["setting"],
        "recordings": len(recordings), "people": len({r["person"] for r in recordings}), "failures": len(failures),
        "hours": round(sum(r["seconds"] for r in recordings) / 3600, 4), "hops": sum(r["hops"] for r in recordings),
        "shown": sum(r["shown"] for r in recordings), "files": files,
    }  # fmt: skip
    store.write(MANIFEST, (json.dumps(found, indent=1) + "\n").encode())
    return found


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
