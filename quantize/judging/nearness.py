"""How near a student came to its teacher, on people whom it did not learn from."""

from __future__ import annotations

import numpy as np
from torch import nn

from onwrist.models.student.graph import AnyStudent
from onwrist.quantize.judging.evaluate import EVALUATION_SETS, cosine, evaluation_of, run_torch
from onwrist.quantize.teaching.examples import Standard, embed_teacher, read_material
from onwrist.signals.people.cohort import Progress, cut, data_root, load_tracks, shipped_tracks, silent
from onwrist.signals.people.material import Material

# Of the windows, taken evenly: enough for a median a person, some minutes of a large encoder.
MOST_WINDOWS = 4000


def nearness(
    student: AnyStudent,
    standard: Standard,
    teacher: nn.Module,
    material: Material,
    *,
    scaled: bool = True,
    progress: Progress = silent,
) -> dict | None:
    """Cosine between the float student's embedding and the teacher's, standardised as it was taught, by window and person.

    The held-out people of the material; without any, those of the sets, or of the recordings that ship.

    Args:
        scaled: whether the teacher takes windows scaled to their extremes.

    Returns:
        {data, people, windows, median, low (a tenth lies below), each: {person: {median, windows}}}, or None if nobody
        gives a window.
    """
    if material.items:
        tracks, data = (
            [track for _, track in read_material(material, "test", progress, student.sees)],
            "held-out people of the spec",
        )
    else:
        root = data_root()
        sets = all((root / s).is_dir() for s in EVALUATION_SETS)
        tracks = (
            [t for s in EVALUATION_SETS for t in load_tracks(s, root, progress, student.sees)]
            if sets
            else shipped_tracks(progress, student.sees)
        )
        tracks = [t for t in tracks if t.role == "test"]
        data = f"held-out people of {' and '.join(EVALUATION_SETS)}" if sets else "held-out shipped recordings"
    cohort = cut(tracks)
    if not len(cohort):
        return None
    rows = np.arange(len(cohort))[:: -(-len(cohort) // MOST_WINDOWS)]
    target = standard.apply(embed_teacher(teacher, cohort.teacher_windows(scaled=scaled)[rows], progress))
    given = evaluation_of(cohort, student.context, data).fed(student)
    similarity = cosine(run_torch(student, *(x[rows] for x in given)).embedding, target)
    people = cohort.people[rows]
    each = {
        str(who): {"median": float(np.median(similarity[people == who])), "windows": int(np.sum(people == who))}
        for who in np.unique(people)
    }
    low, median = np.percentile(similarity, (10, 50))
    return {
        "data": data, "people": len(each), "windows": len(rows), "median": float(median), "low": float(low), "each": each,
    }  # fmt: skip
