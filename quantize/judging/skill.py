"""How much of the teacher's skill a student keeps, float and INT8: the teacher's probes on the student's embedding."""

from __future__ import annotations

import numpy as np


def kept(row: dict) -> str:
    """Share of skill kept for a table, empty for the teacher; a teacher without skill leaves nothing to keep."""
    if "skill_kept" not in row:
        return ""
    share, low, high = (100 * v for v in row["skill_kept"])
    return f", {share:.1f} % [{low:.1f}, {high:.1f}]" if np.isfinite(share) else ", teacher has none"
