"""The packages beside the C: what a build system can build is built, and everything names the files that are there."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
from bundles import band, plain_bundle

from onwrist import __version__
from onwrist.export.sources import packages
from onwrist.export.sources.packages import (
    ARDUINO,
    CMAKE,
    PACK,
    ZEPHYR_CMAKE,
    ZEPHYR_KCONFIG,
    ZEPHYR_MODULE,
    package_files,
)
from onwrist.firmware_sim.runtimes.compiler import GNU
from onwrist.resources import C_SOURCES

FOLDER = "band/c/"
MADE = {CMAKE, ZEPHYR_MODULE, ZEPHYR_CMAKE, ZEPHYR_KCONFIG, PACK, ARDUINO, "LICENSE", "NOTICE"}
MAIN = """
#include "onwrist_watch.h"
int32_t onwrist_selftest(void);
int32_t onwrist_selftest_watch(void);
int main(void) { return onwrist_selftest() + onwrist_selftest_watch() != 0; }
"""
# What a Zephyr application gives to a module, as far as this one uses it.
ZEPHYR = """
cmake_minimum_required(VERSION 3.20)
project(application LANGUAGES C)
macro(zephyr_library_named name)
    set(library ${name})
    add_library(${name} STATIC)
endmacro()
macro(zephyr_include_directories)
    include_directories(${ARGV})
endmacro()
macro(zephyr_library_compile_options)
    target_compile_options(${library} PRIVATE ${ARGV})
endmacro()
macro(zephyr_compile_definitions)
    add_compile_definitions(${ARGV})
endmacro()
macro(zephyr_library_sources)
    target_sources(${library} PRIVATE ${ARGV})
endmacro()
macro(zephyr_library_sources_ifdef feature)
    if(${feature})
        target_sources(${library} PRIVATE ${ARGN})
    endif()
endmacro()
add_subdirectory(band/zephyr)
"""
# A board that is this host, for Arduino's builder.
BOARD = {
    "platform.txt": """
tools.ctags.pattern="arduino-ctags" -u --language-force=c++ -f - --c++-kinds=svpf --fields=KSTtzns --line-directives "{source_file}"
preproc.macros.flags=-w -x c++ -E -CC
""",
    "onwrist/host/boards.txt": "it.name=Host\nit.build.core=host\nit.build.mcu=host\n",
    "onwrist/host/platform.txt": """
name=Host
version=1.0.0
recipe.c.o.pattern="gcc" -Os -std=gnu11 -ffunction-sections -fdata-sections -c {includes} "{source_file}" -o "{object_file}"
recipe.cpp.o.pattern="g++" -Os -std=gnu++17 -c {includes} "{source_file}" -o "{object_file}"
recipe.ar.pattern="ar" rcs "{archive_file_path}" "{object_file}"
recipe.c.combine.pattern="g++" -Wl,--gc-sections {object_files} "{build.path}/{archive_file}" -o "{build.path}/program"
recipe.preproc.macros="g++" -w -x c++ -E -CC {includes} "{source_file}" -o "{preprocessed_file_path}"
""",
    "onwrist/host/cores/host/Arduino.h": "#include <stdint.h>\nextern int wrong;\nvoid setup();\nvoid loop();\n",
    "onwrist/host/cores/host/main.cpp": """
#include "Arduino.h"
int wrong;
int main() { setup(); loop(); return wrong != 0; }
""",
}
SKETCH = """
#include <onwrist_watch.h>
extern "C" int32_t onwrist_selftest(void);
static onwrist_watch watch;
alignas(8) static int8_t arena[ONWRIST_ARENA_BYTES];
void setup() { wrong = onwrist_watch_init(&watch, arena, ONWRIST_GAP_INTERPOLATE); }
void loop() { wrong |= onwrist_selftest(); }
"""
BUILDER = "arduino-builder"
cmake = pytest.mark.skipif(not (shutil.which("cmake") and shutil.which("gcc")), reason="no cmake or no gcc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A student's C as it comes out of a bundle."""
    place = tmp_path_factory.mktemp("packages") / "band"
    for name, data in plain_bundle().files.items():
        if name.startswith(FOLDER):
            (place / name.removeprefix(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
            (place / name.removeprefix(FOLDER)).write_bytes(data)
    return place


def sources(folder, pattern="*.[ch]") -> set[str]:
    return {p.name for p in folder.glob(pattern)}


def run(*words, status=0, **options) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def configured(project, build, *words) -> str:
    return run("cmake", "-S", project, "-B", build, "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_BUILD_TYPE=Debug", *words)


# --- CMake ---


@cmake
def test_a_project_with_the_folder_in_it_builds_and_the_self_tests_pass(folder, tmp_path):
    """With the two lines of the page for firmware engineers."""
    (block,) = re.findall(r"```cmake\n(.*?)```", (C_SOURCES / "FIRMWARE.md").read_text(), re.DOTALL)
    shutil.copytree(folder, tmp_path / "onwrist")
    (tmp_path / "main.c").write_text(MAIN)
    (tmp_path / CMAKE).write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(theirs LANGUAGES C)\nadd_executable(firmware main.c)\n" + block
    )
    strict = "-DCMAKE_C_FLAGS=-Wall -Wextra -Wconversion -Werror"
    said = configured(tmp_path, tmp_path / "b", "-DONWRIST_SELFTEST=ON", "-DONWRIST_COUNTS_FALL=ON", strict)
    assert "Warning" not in said
    log = run("cmake", "--build", tmp_path / "b", "--verbose")
    assert {m for m in re.findall(r"-c \S+/(\S+\.c)", log)} == sources(folder, "*.c") | {"main.c"}
    # The level comes after that of the build type, and so it is the one that counts.
    assert all(
        line.rindex("-O3") > line.rindex("-g ")
        for line in log.splitlines()
        if "onwrist_kernels.c" in line and "-c " in line
    )
    # Counts that fall are another watch than the one whose golden bursts these are.
    run(tmp_path / "b" / "firmware", status=1)
    configured(tmp_path, tmp_path / "b", "-DONWRIST_COUNTS_FALL=OFF")
    run("cmake", "--build", tmp_path / "b")
    run(tmp_path / "b" / "firmware")
    assert {p.name for p in (tmp_path / "onwrist").rglob("*")} == {p.name for p in folder.rglob("*")}


@cmake
def test_the_folder_is_a_project_of_its_own_and_leaves_out_what_is_switched_off(folder, tmp_path):
    configured(folder, tmp_path / "b", "-DONWRIST_WATCH=OFF", "-DONWRIST_OPTIMISE=-O1")
    log = run("cmake", "--build", tmp_path / "b", "--verbose")
    assert set(re.findall(r"-c \S+/(\S+\.c)", log)) == {"onwrist.c", "onwrist_kernels.c", "onwrist_model.c"}
    assert (tmp_path / "b" / "libonwrist.a").is_file()
    assert f"PROJECT_VERSION:STATIC={packages.release()}" in (tmp_path / "b" / "CMakeCache.txt").read_text()


@pytest.mark.skipif(not (shutil.which("cmake") and shutil.which(GNU)), reason=f"no cmake or no {GNU}")
def test_the_same_project_builds_for_a_core_with_a_toolchain_file(folder, tmp_path):
    (tmp_path / "m4.cmake").write_text(
        f"set(CMAKE_SYSTEM_NAME Generic)\nset(CMAKE_SYSTEM_PROCESSOR arm)\nset(CMAKE_C_COMPILER {GNU})\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\n"
        'set(CMAKE_C_FLAGS_INIT "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard")\n'
    )
    words = [f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'm4.cmake'}", "-DONWRIST_SELFTEST=ON"]
    run("cmake", "-S", folder, "-B", tmp_path / "b", *words)
    run("cmake", "--build", tmp_path / "b")
    (tmp_path / "main.c").write_text(MAIN)
    core = ["-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
    run(
        GNU,
        *core,
        "-I",
        folder,
        tmp_path / "main.c",
        tmp_path / "b" / "libonwrist.a",
        "--specs=nosys.specs",
        "-o",
        tmp_path / "t.elf",
    )
    assert 'Tag_CPU_name: "7E-M"' in run(GNU.replace("gcc", "readelf"), "-A", tmp_path / "t.elf")


# --- Zephyr ---


def test_the_zephyr_module_says_where_its_files_are(folder):
    yaml = pytest.importorskip("yaml")
    module = yaml.safe_load((folder / ZEPHYR_MODULE).read_text())
    assert module["name"] == "onwrist"
    assert (folder / module["build"]["cmake"] / CMAKE).is_file()
    assert (folder / module["build"]["kconfig"]).is_file()


def test_the_options_of_zephyr_depend_on_one_another(folder):
    kconfig = pytest.importorskip("kconfiglib").Kconfig(str(folder / ZEPHYR_KCONFIG), warn_to_stderr=False)
    assert kconfig.warnings == []
    said = {name: s.str_value for name, s in kconfig.syms.items() if s.nodes}
    assert said == dict.fromkeys(("ONWRIST", "ONWRIST_WATCH", "ONWRIST_COUNTS_FALL", "ONWRIST_SELFTEST"), "n")
    kconfig.syms["ONWRIST"].set_value("y")
    assert kconfig.syms["ONWRIST_WATCH"].str_value == "y"
    kconfig.syms["ONWRIST_COUNTS_FALL"].set_value("y")
    kconfig.syms["ONWRIST_WATCH"].set_value("n")
    assert kconfig.syms["ONWRIST_COUNTS_FALL"].str_value == "n"


def test_every_option_of_zephyr_is_one_that_its_cmake_asks_for(folder):
    options = set(re.findall(r"config (ONWRIST\w*)", (folder / ZEPHYR_KCONFIG).read_text()))
    assert options == set(re.findall(r"CONFIG_(ONWRIST\w*)", (folder / ZEPHYR_CMAKE).read_text()))


@cmake
@pytest.mark.parametrize(
    "on, off",
    [
        ("WATCH SELFTEST COUNTS_FALL", ""),
        ("SELFTEST", "onwrist_watch.c onwrist_telemetry.c onwrist_beats.c selftest_watch.c"),
        (None, None),
    ],
)
def test_the_zephyr_module_builds_with_stand_ins_for_what_zephyr_gives(folder, tmp_path, on, off):
    shutil.copytree(folder, tmp_path / "band")
    (tmp_path / CMAKE).write_text(ZEPHYR)
    words = [] if on is None else [f"-DCONFIG_ONWRIST{n and '_' + n}=y" for n in ("", *on.split())]
    configured(tmp_path, tmp_path / "b", *words)
    log = run("cmake", "--build", tmp_path / "b", "--verbose")
    wanted = set() if on is None else sources(folder, "*.c") - set(off.split())
    assert {m for m in re.findall(r"-c \S+/(\S+\.c)", log)} == wanted
    assert ("-DONWRIST_COUNTS_FALL=1" in log) is bool(on and "FALL" in on)


# --- CMSIS-Pack ---


def test_the_pack_describes_every_file_once_and_its_conditions_hold(folder):
    package = ET.parse(folder / PACK).getroot()
    found = [f.get("name") for f in package.iter("file")]
    assert sorted(found) == sorted(sources(folder))
    for file in package.iter("file"):
        assert file.get("category") == {"c": "source", "h": "header"}[file.get("name").rpartition(".")[2]]
    assert f"{package.findtext('vendor')}.{package.findtext('name')}.pdsc" == PACK
    assert (folder / package.findtext("license")).is_file()
    assert [r.get("version") for r in package.iter("release")] == [packages.release()]
    assert band().model.digest()[:16] in package.findtext("releases/release")
    conditions = {c.get("id"): c for c in package.iter("condition")}
    components = {c.get("Csub"): c for c in package.iter("component")}
    used = {name: c.get("condition") for name, c in components.items() if c.get("condition")}
    assert set(used.values()) == set(conditions)
    for name in used.values():
        for needed in conditions[name].iter("require"):
            assert {k: components[needed.get("Csub")].get(k) for k in needed.attrib} == needed.attrib


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize("component", ["Model", "Watch", "Self-test", "Self-test of the watch"])
def test_a_component_of_the_pack_compiles_with_what_it_needs_and_no_more(folder, tmp_path, component):
    package = ET.parse(folder / PACK).getroot()
    components = {c.get("Csub"): c for c in package.iter("component")}
    needs = {c.get("id"): [r.get("Csub") for r in c.iter("require")] for c in package.iter("condition")}
    chosen = [component]
    for name in chosen:
        chosen += needs.get(components[name].get("condition"), [])
    for file in (f.get("name") for c in chosen for f in components[c].iter("file")):
        shutil.copy(folder / file, tmp_path / file)
    entry = {"Self-test": "onwrist_selftest", "Self-test of the watch": "onwrist_selftest_watch"}.get(component)
    (tmp_path / "main.c").write_text(
        f"#include <stdint.h>\nint32_t {entry}(void);\nint main(void) {{ return {entry}(); }}\n"
        if entry
        else "int main(void) { return 0; }\n"
    )
    run("gcc", "-O1", *tmp_path.glob("*.c"), "-o", tmp_path / "t")
    run(tmp_path / "t")


# --- Arduino ---


def test_the_arduino_library_has_the_fields_that_its_format_requires(folder):
    lines = (folder / ARDUINO).read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines)
    assert {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    } <= set(found)
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["version"])
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", found["name"])
    assert {n for n in found["includes"].split(",")} <= sources(folder, "*.h")
    # With a src folder only that would be compiled; without it, what lies in the root.
    assert not (folder / "src").exists()


@pytest.mark.skipif(not (shutil.which("g++") and shutil.which("gcc")), reason="no gcc or no g++")
def test_a_sketch_in_cplusplus_links_against_the_arduino_layout(folder, tmp_path):
    """As Arduino does it: every source of the root by itself, in C; the sketch in C++; unused sections are dropped."""
    includes = dict(x.split("=", 1) for x in (folder / ARDUINO).read_text().splitlines())["includes"]
    (tmp_path / "sketch.cpp").write_text(
        "".join(f"#include <{n}>\n" for n in includes.split(","))
        + """
        static onwrist_watch watch;
        alignas(8) static int8_t arena[ONWRIST_ARENA_BYTES];
        static onwrist_watch_output out;
        int main() {
            int32_t counts[ONWRIST_BURST] = {};
            const int32_t wrong = onwrist_watch_init(&watch, arena, ONWRIST_GAP_INTERPOLATE);
            (void)onwrist_watch_push(&watch, 0, counts, ONWRIST_BURST);
            return wrong || onwrist_watch_run(&watch, &out) < 0;
        }
        """
    )
    sections = ["-Os", "-ffunction-sections", "-fdata-sections", "-I", folder]
    for name in sorted(sources(folder, "*.c")):
        run("gcc", "-std=gnu11", *sections, "-c", folder / name, "-o", tmp_path / f"{name}.o")
    run(
        "g++",
        "-std=gnu++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        *sections,
        "-c",
        tmp_path / "sketch.cpp",
        "-o",
        tmp_path / "sketch.o",
    )
    run("g++", "-Wl,--gc-sections", *tmp_path.glob("*.o"), "-o", tmp_path / "sketch")
    run(tmp_path / "sketch")
    # Bring-up's vectors cost nothing in a sketch that does not call them.
    assert "onwrist_golden" not in run("nm", tmp_path / "sketch")


@pytest.mark.skipif(
    not (shutil.which(BUILDER) and shutil.which("g++")), reason=f"no {BUILDER} (Debian has it) or no g++"
)
def test_arduinos_own_builder_finds_and_builds_the_library(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "libraries" / "onwrist")
    for name, text in {**{f"hardware/{n}": t for n, t in BOARD.items()}, "sketch/sketch.ino": SKETCH}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "build").mkdir()
    words = ["-hardware", "hardware", "-tools", "hardware", "-libraries", "libraries", "-fqbn", "onwrist:host:it"]
    words += ["-build-path", tmp_path / "build", "sketch/sketch.ino"]
    said = run(BUILDER, "-compile", "-verbose", *words, cwd=tmp_path)
    assert f"Using library onwrist at version {packages.release()}" in said
    assert set(re.findall(r"libraries/onwrist/(\w+\.c)\.o\"\n", said)) == sources(folder, "*.c")
    run(tmp_path / "build" / "program")


# --- all of them ---


def test_what_is_in_the_folder_is_what_is_generated_and_nothing_else(folder):
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == sources(folder) | MADE
    assert package_files(sources(folder), band().model.digest()) == {n: (folder / n).read_text() for n in MADE}


def test_without_self_tests_none_is_offered(folder):
    names = {n for n in sources(folder) if "selftest" not in n and "golden" not in n}
    assert not [
        n
        for n, text in package_files(names, "0" * 64).items()
        if re.search("selftest|golden", text, re.I) and n not in ("LICENSE", "NOTICE")
    ]


@pytest.mark.parametrize("said, wanted", [("0.1.0", "0.1.0"), ("1.20.3.dev4+g1", "1.20.3"), ("0+unknown", "0.0.0")])
def test_the_version_is_one_that_every_build_system_takes(monkeypatch, said, wanted):
    monkeypatch.setattr(packages, "__version__", said)
    assert packages.release() == wanted
    assert f"version={wanted}\n" in package_files([], "0" * 64)[ARDUINO]


def test_the_version_is_that_of_the_package():
    assert __version__.startswith(packages.release()) or packages.release() == "0.0.0"
