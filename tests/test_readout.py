"""A student's embedding fitted again to another teacher: what it says beside it stays."""

import numpy as np
import torch

from onwrist.models.student.network import Student, StudentConfig
from onwrist.quantize.teaching.examples import Examples
from onwrist.quantize.teaching.readout import fit_embedding

SMALL = StudentConfig("band", stem=4, frames=8, widths=(8,), dilations=(1,), head=(4,), embedding=16)


def test_a_linear_teacher_of_what_the_student_sees_is_met_and_the_answers_stay():
    torch.manual_seed(0)
    student = Student(SMALL).eval()
    rng = np.random.default_rng(0)
    n = 600
    # A past that is its own mirror, so that windows whose past is mirrored see what the others see.
    later = rng.standard_normal((n, SMALL.window - SMALL.context)).astype(np.float32)
    x = np.concatenate([later[:, SMALL.context : 0 : -1], later], axis=1)
    assert x.shape[1] == SMALL.window
    with torch.no_grad():
        pooled = student.pool(student.features(torch.from_numpy(x).unsqueeze(1)))[..., -1].numpy()
        before = student(torch.from_numpy(x))[1].numpy()
    spread = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    target = (spread @ rng.standard_normal((8, 16)) + 0.3).astype(np.float32)
    weight = np.ones(n, np.float32)
    # What counts nothing may be anything.
    weight[:50], target[:50] = 0.0, 1e3
    nothing = np.full((n, 3), np.nan, np.float32)
    examples = Examples(x, target, nothing, nothing[:, :2], np.zeros((n, 250), np.int8), weight, np.array(["a"] * n))
    fit_embedding(student, examples)
    with torch.no_grad():
        embedding, answers = student(torch.from_numpy(x))
    error = np.abs(embedding.numpy()[50:] - target[50:])
    assert error.mean() < 0.02 * np.abs(target[50:]).mean()
    np.testing.assert_array_equal(answers.numpy(), before)
