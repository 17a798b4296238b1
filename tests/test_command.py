"""The command line: every verb, its help, its mistakes, its exits; and that scripts and verbs are the same thing."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import ROOT

from onwrist import __version__
from onwrist.command import BROKEN_PIPE, FAULT, INTERRUPTED, USER_ERROR, VERBS


def onwrist(*words, **more):
    command = [sys.executable, "-m", "onwrist", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, **more)


@pytest.mark.parametrize("verb", VERBS)
def test_help_describes_every_option(verb):
    done = onwrist(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stderr
    assert "(default: None)" not in done.stdout
    assert "{None}" not in done.stdout
    options = re.findall(r"^│ (--[a-z0-9-]+)", done.stdout, re.MULTILINE)
    text = re.sub(r"[│╭╰─╮╯]", " ", done.stdout[done.stdout.index("╭") :])
    for a, b in zip(options, [*options[1:], None], strict=False):
        start = text.index(a + " ") if a + " " in text else text.index(a)
        end = text.find(b, start + len(a)) if b else -1
        body = text[start : end if end > 0 else None]
        assert len(body.replace(a, "").split()) > 4, f"{verb} {a} has no description"


@pytest.mark.parametrize("verb", VERBS)
def test_help_waits_for_no_library(verb):
    slow = [
        "torch",
        "brevitas",
        "onnx",
        "onnxruntime",
        "tensorflow",
        "scipy",
        "pandas",
        "matplotlib",
        "sklearn",
        "numpy",
    ]
    code = (
        f"import sys; sys.argv = ['onwrist', {verb!r}, '--help']\n"
        "from onwrist.command import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {slow!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_one_name_means_one_thing():
    meaning = {}
    for verb in VERBS:
        text = onwrist(verb, "--help").stdout
        for name in ("--hop-s", "--sensor-hz", "--bits", "--teacher", "--data", "--only", "--bf16"):
            found = re.search(rf"│ {name}[ ,](.*?)(?=│ --|╰)", text, re.DOTALL)
            if found:
                words = " ".join(re.sub(r"[│]", " ", found[1]).split())
                meaning.setdefault(name, {})[words.split(maxsplit=1)[1].split(".")[0].split(" (default")[0]] = verb
    assert all(len(m) == 1 for m in meaning.values()), meaning
    assert len(meaning) == 7


def test_the_scripts_are_the_verbs():
    for place, config, _ in VERBS.values():
        script = ROOT / (place.replace(".", "/") + ".py")
        script = script if script.exists() else ROOT / "onwrist" / f"{place}.py"
        assert f"run(main, {config})" in script.read_text()


def test_mistakes_are_one_line():
    for words, expected in (
        (("strem",), "did you mean stream?"),
        (("stream", "none.csv"), "none.csv"),
        (("tflite", "--hop-s", "0.3"), "multiple"),
    ):
        done = onwrist(*words)
        assert done.returncode == USER_ERROR, done.stderr
        assert expected in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr


def test_version_and_list():
    assert onwrist("--version").stdout.strip() == __version__
    listed = onwrist("--help").stdout
    assert all(f"  {verb} " in listed for verb in VERBS)


def test_a_fault_is_one_line_and_a_trace_on_demand(tmp_path):
    code = (
        "import dataclasses, sys\n"
        "from onwrist.command import run\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Config:\n    '''Nothing.'''\n"
        "def main(config):\n    '''Breaks.'''\n    raise ZeroDivisionError('by zero')\n"
        "run(main, Config)\n"
    )
    script = tmp_path / "breaks.py"
    script.write_text(code)
    plain = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert plain.returncode == FAULT
    assert plain.stderr.strip() == "fault: ZeroDivisionError: by zero (the trace: --debug)"
    traced = subprocess.run([sys.executable, script, "--debug"], capture_output=True, text=True)
    assert "Traceback" in traced.stderr


def test_a_reader_that_leaves_is_no_fault():
    done = subprocess.run(
        f"{sys.executable} -m onwrist stream --help | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, BROKEN_PIPE)
    assert done.stderr == ""


def test_closed_output_and_ascii_terminals_are_survived():
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert onwrist("parts", "--help", env=ascii_only).returncode == 0
    done = subprocess.run(f"{sys.executable} -m onwrist --help >&-", shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


# Starts the command and interrupts it: at the n-th import, or so many seconds after its start.
INTERRUPTED_AT = """
import os, signal, sys, threading
import onwrist.command
kind, at = sys.argv.pop(1), float(sys.argv.pop(1))
stop = lambda: os.kill(os.getpid(), signal.SIGINT)
class Count:
    seen = 0
    def find_spec(self, *_):
        self.seen += 1
        if self.seen == at:
            stop()
if kind == "import":
    sys.meta_path.insert(0, Count())
else:
    threading.Timer(at, stop).start()
onwrist.command.main()
"""


def heard():
    """Ctrl-C reaches a child, also of a suite that was started in the background, where shells ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("kind", "at"), [("import", 1), ("import", 700), ("time", 0.3), ("time", 1.2)])
def test_an_interrupt_is_one_word(kind, at):
    """Whatever is being loaded: an exception inside a C++ library's import would be an abort."""
    command = [sys.executable, "-c", INTERRUPTED_AT, kind, str(at), "stream"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=heard)
    # A library on the way may hand the signal on; a shell sees 130 either way.
    assert done.returncode in (INTERRUPTED, -signal.SIGINT), done.stderr
    assert done.stderr.splitlines()[-1:] == ["stopped"]
    assert "Traceback" not in done.stderr


def test_an_interrupt_waits_for_an_import_and_a_second_one_does_not(tmp_path):
    library = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.1)\nprint('loaded')\n"
    (tmp_path / "library.py").write_text(library)
    (tmp_path / "stuck.py").write_text(library + "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    held = "from onwrist.interrupts import held_during_imports\nimport time\nwith held_during_imports():\n"
    for name, said in (("library", "loaded"), ("stuck", "loaded")):
        code = f"{held}    import {name}\n    time.sleep(60)"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=30, preexec_fn=heard
        )
        assert done.stdout.strip() == said
        assert "KeyboardInterrupt" in done.stderr


def test_the_doctor_names_what_is_missing_and_the_mend(tmp_path):
    done = onwrist("doctor", env={**os.environ, "PATH": str(tmp_path), "ONWRIST_DATA": str(tmp_path / "none")})
    assert done.returncode == 0, done.stdout  # what this suite runs on has everything that is needed
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    assert lines["torch"].startswith("ok")
    assert lines["qemu-system-arm"].startswith("without")
    assert "apt-get install qemu-system-arm" in lines["qemu-system-arm"]
    assert "ONWRIST_DATA" in lines["larger"]
    found = json.loads(onwrist("doctor", "--json").stdout)
    assert found["schema"] == "onwrist-doctor-1"
    assert {f["name"] for f in found["findings"]} > {"torch", "CUDA", "chromium"}
