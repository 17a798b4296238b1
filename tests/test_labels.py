"""A user's labels: what is missing, who is who, and what a word of a task means."""

import numpy as np
import pytest
from damage import INPUTS, damaged
from made import PLAIN, T, pulse, put, table

from onwrist.errors import OnwristError, RecordingError
from onwrist.models.bench.labels import load_labels

HEAD = "person,recording,start,label\n"


@pytest.fixture(autouse=True)
def people(tmp_path):
    for name in "abcd":
        put(tmp_path / f"{name}.csv", PLAIN)


def write(folder, rows, head=HEAD, encoding="utf-8"):
    return put(folder / "labels.csv", head + "".join(row + "\n" for row in rows), encoding)


def values(folder, labels, task):
    """Labels of one window each, of four people in turn."""
    rows = [f"{'abcd'[i % 4]},{'abcd'[i % 4]}.csv,{10 * (i // 4)},{label}" for i, label in enumerate(labels)]
    windows, (found,) = load_labels(write(folder, rows), task)
    return windows.labels[found.label].tolist()


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "N/A", "", "None", "null", "-", "?", " na "])
def test_a_missing_label_is_no_label(tmp_path, word):
    assert values(tmp_path, ["131", word, "140"], "sodium") == [1, 0]
    assert values(tmp_path, ["af", word, "sr"], "rhythm") == [0, 1]
    assert values(tmp_path, ["0", word, "1"], "mine") == [0, 1]


def test_only_missing_labels(tmp_path):
    with pytest.raises(RecordingError, match="every label is missing"):
        values(tmp_path, ["nan", "NA"], "sodium")


@pytest.mark.parametrize("other", ["a ", " a", "A", "\ta", "a\u00a0"])
def test_one_person_by_any_spelling(tmp_path, other):
    windows, _ = load_labels(write(tmp_path, ["a,a.csv,0,1", f"{other},a.csv,10,0", "b,b.csv,0,0"]), "x")
    assert set(windows.person) == {"a", "b"}


def test_a_number_that_a_spreadsheet_wrote_is_the_same_person(tmp_path):
    windows, _ = load_labels(write(tmp_path, ["7,a.csv,0,1", "7.0,a.csv,10,0", "8,b.csv,0,0"]), "x")
    assert set(windows.person) == {"7", "8"}


def test_one_class_by_any_spelling(tmp_path):
    assert values(tmp_path, ["AF", "af ", "SR", "sr"], "rhythm") == [0, 0, 1, 1]


WAKE = ["W", "w", "Wake", "wake ", "Sleep stage W", "sleep stage w", "Stage W", "awake", "SLEEP_STAGE_W"]
OTHERS = ["N1", "N2", "N3", "REM", "Sleep stage R", "Sleep stage 2", "stage 3", "S2", "NREM2", "light", "deep", "SWS"]


@pytest.mark.parametrize("wake", WAKE)
def test_wake_by_any_name(tmp_path, wake):
    assert values(tmp_path, [wake, "N2", wake, "R"], "wake") == [1, 0, 1, 0]


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_not_wake(tmp_path, other):
    assert values(tmp_path, ["W", other], "wake") == [1, 0]


@pytest.mark.parametrize(
    ("task", "expected"),
    [("wake", [1, 0, 0, 0, 0]), ("light", [0, 1, 1, 0, 0]), ("deep", [0, 0, 0, 1, 0]), ("rem", [0, 0, 0, 0, 1])],
)
@pytest.mark.parametrize("words", [["0", "1", "2", "3", "5"], ["0.0", "1.0", "2.0", "3.0", "5.0"],
                                   ["W", "N1", "N2", "N3", "R"], ["Sleep stage W", "Sleep stage 1", "Sleep stage 2",
                                   "Sleep stage 4", "Sleep stage R"], ["w", "1", "2", "3", "r"]])  # fmt: skip
def test_sleep_by_word_and_by_number(tmp_path, task, expected, words):
    if words[3] == "Sleep stage 4":
        words = [*words[:4], "5"]
    assert values(tmp_path, words, task) == expected


@pytest.mark.parametrize("unscored", ["Sleep stage ?", "Movement time", "M", "9", "unknown"])
def test_what_is_scored_as_no_stage_is_left_out(tmp_path, unscored):
    assert values(tmp_path, ["W", unscored, "N2"], "wake") == [1, 0]


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("wake", ["W", "N2", "dozing"], "'dozing' is none of wake"),
        ("wake", ["W", "8"], "'8' is none of"),
        ("rem", ["0", "2", "4"], "4 is REM to some and stage 4 to others"),
        ("pvc", ["PVC", "PVCC"], "'pvcc' is none of pvc"),
        ("sodium", ["131", "high"], "'high' is no number.*mmol/L"),
        ("sodium", ["131", "inf"], "'inf'"),
        ("a1c", ["48", "53"], "outside 2.5-20: another unit"),
        ("haemoglobin", ["120", "135"], "outside"),
        ("platelets", ["150000"] * 2, "outside"),
        ("hypertension-lab", ["14", "120"], "outside"),
        ("mine", ["131", "140", "high"], "'high' stands among numbers"),
    ],
)
def test_words_that_are_not_understood_are_refused(tmp_path, task, labels, message):
    with pytest.raises(RecordingError, match=message) as caught:
        values(tmp_path, labels, task)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("head", "separator", "encoding"),
    [
        (HEAD, ",", "utf-8-sig"),
        (HEAD, ",", "utf-16"),
        (HEAD.replace(",", ";"), ";", "utf-8"),
        (HEAD.replace(",", "\t"), "\t", "utf-8"),
        (" Person , Recording, START,Label \n", ",", "utf-8"),
    ],
)
def test_dialects_of_the_label_file(tmp_path, head, separator, encoding):
    rows = [r.replace(",", separator) for r in ("a,a.csv,0,1", "b,b.csv,0,0")]
    windows, (task,) = load_labels(write(tmp_path, rows, head, encoding), "x")
    assert windows.labels[task.label].tolist() == [1, 0]


@pytest.mark.parametrize("row", ["a,a.csv,0", "a,a.csv,0,1,2"])
def test_a_row_of_another_length_is_named(tmp_path, row):
    with pytest.raises(RecordingError, match=r"labels\.csv:3: has another number of cells"):
        load_labels(write(tmp_path, ["b,b.csv,0,1", row]), "x")


def test_windows_in_a_gap_are_left_out(tmp_path):
    t = np.where(T < 20, T, T + 20)
    put(tmp_path / "g.csv", table("time,ppg", [f"{v:.6f}" for v in t], [f"{v:.4f}" for v in pulse(t)]))
    windows, _ = load_labels(write(tmp_path, ["g,g.csv,,1", "a,a.csv,,0"]), "x")
    assert (windows.person == "g").sum() == 6
    assert (windows.person == "a").sum() == 6
    windows, _ = load_labels(write(tmp_path, ["g,g.csv,25,1", "g,g.csv,45,1", "a,a.csv,0,0"]), "x")
    assert (windows.person == "g").sum() == 1


def test_damaged_label_files_end_in_one_typed_error(tmp_path):
    np.savez(tmp_path / "s.npz", ppg=pulse(T[:700]), fs_ppg=64.0)
    seed = (
        HEAD + "".join(f"{p},s.npz,0,{v}\n" for p, v in zip("abcdef", ["w", "n2", "r", "n3", "w", "n2"], strict=True))
    ).encode()
    rng = np.random.default_rng(3)
    read = 0
    for i in range(INPUTS):
        (tmp_path / "labels.csv").write_bytes(damaged(seed, rng))
        try:
            windows, tasks = load_labels(tmp_path / "labels.csv", ["", "wake", "sodium", "pvc"][i % 4])
        except OnwristError:
            continue
        read += 1
        assert len(windows.person) == len(windows.teacher)
        assert all(np.isfinite(windows.labels[t.label]).all() for t in tasks)
    assert read > 0
