"""What the tests share: the shipped recordings and students, and the larger sets where they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from onwrist.resources import SHIPPED
from onwrist.signals.people.cohort import data_root

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(2)


# Files whose tests emulate, train, start the command again and again, or play whole recordings.
SLOW = (
    "benchmark", "bundle", "bundle_fuzz", "cohort", "cohort_report", "compilers", "digests", "export", "firmware", "firmware_page", "models",
    "objectives", "packages", "page", "readers_fuzz", "entrances_fuzz", "report", "rightness", "steps", "strangers", "stream", "verify",
    "watch", "watch_c", "wheel",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def recordings() -> Path:
    return SHIPPED


@pytest.fixture(scope="session")
def cohort_root() -> Path:
    root = data_root()
    if not (root / "cinc2015_125hz").is_dir():
        pytest.skip(f"the larger sets are not at {root} (set ONWRIST_DATA)")
    return root


@pytest.fixture(scope="session", params=["watch", "band"])
def artifacts(request):
    from onwrist.export.handoff.artifacts import load_artifacts

    return load_artifacts(request.param)


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, driven."""
    from onwrist.firmware_sim.page.picture import WORDS, find_browser

    driver = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not installed: playwright")
    found = find_browser()
    if found is None:
        pytest.skip("no Chromium on this machine (Debian: chromium)")
    with driver.sync_playwright() as p:
        running = p.chromium.launch(executable_path=found, args=list(WORDS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def run_script():
    """Run a script of the repository as a user would; returns the finished process."""

    def call(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
        words = [str(a) for a in arguments]
        words[0] = str(ROOT / words[0])
        return subprocess.run(
            [sys.executable, *words], cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}
        )

    return call
