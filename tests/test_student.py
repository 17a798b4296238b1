"""Students are causal, equal their stream, fit their budgets, and become integers exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import periodogram

from onwrist.errors import CheckpointError, ConfigError
from onwrist.models.student.graph import graph_of
from onwrist.models.student.network import HEART_RATE_SPAN, LADDER, Student, StudentConfig, layers_of
from onwrist.models.student.work import work
from onwrist.quantize.integers.arithmetic import quantised_multiplier, read_integers, requantise
from onwrist.quantize.integers.fake_quant import equalise, float_values, quant_student, quantise
from onwrist.quantize.integers.training import load_quantised, save_quantised, train_quantised
from onwrist.quantize.judging.evaluate import Evaluation, Outputs, compare, cosine
from onwrist.quantize.teaching.augment import FAST_BPM, Motion, disturb, play, replay, watch_version
from onwrist.quantize.teaching.distillation import answer_loss, draw_weights, isolate, right_or_wrong, train
from onwrist.quantize.teaching.examples import Examples, Standard, common_width, load_examples, save_examples
from onwrist.quantize.teaching.motion import accelerations, bouts, shaken, steps
from onwrist.quantize.teaching.student_files import int8_weights, load_student, meet_half_way, save_student, take_over
from onwrist.signals.people.cohort import prepare
from onwrist.signals.recordings.readers import read_recording
from onwrist.signals.recordings.recording import Channel


@pytest.fixture(scope="module", params=["watch", "band"])
def student(request) -> Student:
    torch.manual_seed(0)
    net = Student(LADDER[request.param])
    with torch.no_grad():
        for layer in net.features:
            layer[1].weight.uniform_(0.5, 2.0)
            layer[1].bias.uniform_(-0.5, 1.0)
    net.train()
    for _ in range(10):
        net(torch.randn(16, net.config.window))
    return net.eval()


def test_window_is_ten_seconds_and_the_context_of_its_first_frame():
    for config in LADDER.values():
        assert config.window == 400
        assert config.pool == 50
        assert config.context == 150
    with pytest.raises(ConfigError, match="widths"):
        StudentConfig(widths=(64,))


def test_a_stream_of_windows_equals_the_whole_recording(student):
    x = torch.randn(2, 600)
    whole, answers = student.sequence(x)
    stride, window = student.config.stride, student.config.window
    for i in range(whole.shape[-1]):
        embedding, answer = student(x[:, i * stride : i * stride + window])
        torch.testing.assert_close(embedding, whole[..., i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(answer, answers[..., i], atol=1e-5, rtol=1e-5)


def test_the_future_does_not_reach_the_past(student):
    x = torch.randn(1, 600)
    changed = x.clone()
    changed[:, 500:] = 4.0
    a, b = student.sequence(x)[0], student.sequence(changed)[0]
    untouched = (500 - student.config.window) // student.config.stride + 1
    torch.testing.assert_close(a[..., :untouched], b[..., :untouched])
    assert (a[..., untouched:] - b[..., untouched:]).abs().max() > 1e-3


def test_folding_and_equalising_change_nothing(student):
    x = torch.randn(4, student.config.window)
    folded, graph = quant_student(student), graph_of(student)
    wanted = _float_values(graph, x)
    for equal in (False, True):
        if equal:
            equalise(folded, [(x,)])
        found = _float_values(folded, x)
        for o in graph.outputs:
            torch.testing.assert_close(found[o.place], wanted[o.place], atol=1e-4, rtol=1e-3)
    firsts = folded.convolution(0).weight.abs().amax((1, 2)), graph.folded(0)[0].abs().amax((1, 2))
    assert (firsts[0] - firsts[1]).abs().max() > 1e-4


@torch.no_grad()
def _float_values(graph, x):
    """Place -> values of what a graph's layers hold, without a quantiser."""
    if hasattr(graph, "module"):
        rows = graph.rows([x])
        return graph.values(graph.timing.window_of([x.shape[-1]]), rows)
    return {i: y for i, y in float_values(graph, (x,)).items()}


def test_work_is_counted_right(student):
    """Against a count by hooks on a real forward pass."""
    total = []
    hooks = [
        m.register_forward_hook(lambda m, _, y: total.append(m.weight.numel() * y.shape[-1]))
        for _, m in layers_of(student)
    ]
    student(torch.zeros(1, student.config.window))
    for hook in hooks:
        hook.remove()
    counted = work(student, hop_s=1.0)
    assert counted.windowed == 10 * sum(total)
    assert counted.streamed < counted.windowed / 5
    assert work(student, hop_s=2.0).windowed * 2 == counted.windowed


def test_a_student_file_carries_its_shape(tmp_path, student):
    path = tmp_path / "s.safetensors"
    save_student(path, student, Standard(np.arange(256), np.ones(256)), {"note": 1})
    again, standard = load_student(path)
    x = torch.randn(2, student.config.window)
    torch.testing.assert_close(again(x)[0], student(x)[0])
    assert again.config == student.config
    assert standard.mean[5] == 5
    with pytest.raises(CheckpointError, match="not a student"):
        load_student("models/weights/teacher.safetensors")


# --- augmentation and distillation ---


def test_replays_reach_every_rate_and_keep_pulses_in_order():
    pulses = 0.4 + 0.8 * np.arange(60)
    rates, turns = [], []
    for seed in range(60):
        way = replay(pulses, 49.0, np.random.default_rng(seed))
        assert (np.diff(way.old) > 0).all()
        assert (np.diff(way.new) > 0).all()
        np.testing.assert_allclose(way.moved(pulses), way.at, atol=1e-9)
        rates.append(way.rate_bpm)
        rr = np.diff(way.at)
        turns.append(np.sqrt(np.mean(np.diff(rr) ** 2)) / rr.mean())
    assert min(rates) < 50
    assert max(rates) > 190
    assert 0.1 < np.mean(np.array(turns) > 0.12) < 0.6


def test_a_replayed_signal_has_its_pulses_where_the_replay_says():
    rate = 100.0
    pulses = 0.5 + 0.8 * np.arange(60)
    t = np.arange(0, 49, 1 / rate)
    wave = sum(np.exp(-0.5 * ((t - p) / 0.05) ** 2) for p in pulses)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        way = replay(pulses, 49.0, rng)
        if way.rate_bpm > FAST_BPM:
            continue
        y = play(wave.astype(np.float32), rate, way, rng)
        strong = np.flatnonzero(way.gain > 0.5)[3:-3]
        for at in way.at[strong]:
            near = slice(int((at - 0.08) * rate), int((at + 0.08) * rate))
            assert abs(near.start + int(np.argmax(y[near])) - at * rate) < 5


def test_disturbance_spares_the_teacher_and_the_labels(recordings):
    recording = read_recording(recordings / "bidmc_13.npz")
    whole = prepare(recording, "bidmc_13", "bidmc")
    motion = Motion([np.random.default_rng(1).normal(size=4000).astype(np.float32)], [])
    track, clean, factor = watch_version(recording, whole, np.random.default_rng(0), motion)
    other, _, _ = watch_version(recording, whole, np.random.default_rng(0), Motion([], []))
    np.testing.assert_array_equal(track.teacher, other.teacher)
    assert len(track.student) == len(clean)
    assert len(track.teacher) == pytest.approx(len(whole.teacher) / factor, rel=0.01)
    assert 0.2 < np.corrcoef(track.student, clean)[0, 1] < 0.999
    assert np.isfinite(disturb(np.ones(5000, np.float32), 64, np.random.default_rng(0), motion)[0]).all()


def test_rare_rates_are_drawn_more_often_and_usual_ones_most():
    labels = np.full((5000, 3), np.nan, np.float32)
    labels[:4000, 0] = (75 - 130) / 50
    labels[4000:4500, 0] = (205 - 130) / 50
    chance = draw_weights(labels)
    assert chance.sum() == pytest.approx(1)
    assert chance[4200] > 2 * chance[0]
    assert chance[:4000].sum() > chance[4000:4500].sum()


def test_distillation_learns():
    """Loud or quiet: something that any convolution can tell, taught as an embedding."""
    rng = np.random.default_rng(0)
    gain = rng.choice([0.2, 1.5], size=(256, 1))
    x = (gain * rng.normal(size=(256, LADDER["band"].window))).astype(np.float32)
    target = np.where(gain > 1, 1.0, -1.0) * rng.choice([-1.0, 1.0], size=(1, 256))
    labels = np.full((256, 3), np.nan, np.float32)
    detail, beats = np.full((256, 2), np.nan, np.float32), np.full((256, 250), -1, np.int8)
    rest = (np.ones(256, np.float32), np.array(["a"] * 256))
    examples = Examples(x, target.astype(np.float32), labels, detail, beats, *rest)
    torch.manual_seed(0)
    net = Student(LADDER["band"])
    rows = list(train(net, examples, steps=40, batch=64, lr=2e-3, weight_decay=0.05, seed=0, bf16=False))
    assert rows[-1]["imitation"] < 0.3 * rows[0]["imitation"]
    assert not net.training


def test_an_isolated_window_keeps_its_ten_seconds():
    x = torch.arange(400.0).repeat(64, 1)
    (alone,) = isolate([x], 150, np.random.default_rng(0))
    assert torch.equal(alone[:, 150:], x[:, 150:])
    turned = alone[:, 0] != 0
    assert 5 < turned.sum() < 35
    assert torch.equal(alone[turned][0, :150], torch.arange(300.0, 150.0, -1))


def test_unknown_answers_do_not_train():
    predicted = torch.zeros(2, 3, requires_grad=True)
    labels = torch.tensor([[float("nan"), 1.0, float("nan")], [float("nan")] * 3])
    answer_loss(predicted, labels, torch.ones(2)).backward()
    assert predicted.grad.nonzero().tolist() == [[0, 1]]


def test_what_is_good_knows_whether_the_rate_is_right():
    right, doubtful = float(HEART_RATE_SPAN), float("nan")
    off = torch.tensor([0.0, 3.0, 6.0, 20.0, 3.0, 20.0, 0.0]) / right
    quality = torch.tensor([1.0, 1.0, 1.0, 1.0, doubtful, doubtful, 0.0])
    labels = torch.stack([torch.zeros(7), quality, torch.full((7,), doubtful)], dim=1)
    predicted = torch.stack([off, torch.zeros(7), torch.zeros(7)], dim=1)
    assert right_or_wrong(predicted, labels)[:, 1].tolist() == [1, 1, 1, 0, 1, 0, 0]
    labels[:, 0] = doubtful  # no rate: the label alone
    torch.testing.assert_close(right_or_wrong(predicted, labels), labels, equal_nan=True)


def test_a_drowned_pulse_teaches_no_rate():
    predicted = torch.full((2, 3), 0.5, requires_grad=True)
    labels = torch.tensor([[0.0, float("nan"), float("nan")]] * 2)
    answer_loss(predicted, labels, torch.tensor([1.0, 0.0])).backward()
    assert predicted.grad[0, 0] > 0
    assert predicted.grad[1, 0] == 0


# --- motion ---


@pytest.mark.parametrize("rate", [25.0, 64.0, 125.0])
def test_steps_are_an_even_rhythm_of_unit_spread(rate):
    for seed in range(6):
        wave = steps(int(60 * rate), rate, np.random.default_rng(seed)).light
        assert wave.std() == pytest.approx(1, abs=1e-6)
        f, power = periodogram(wave, rate, "hann")
        # Steps, the arm's swing at half of them and their overtones: hardly anything slower or between the lines.
        assert power[f < 0.4].sum() < 0.02 * power.sum()
        assert np.sort(power)[::-1][:40].sum() > 0.7 * power.sum()


def test_bouts_of_motion_leave_calm_between_them_and_many_recordings_alone():
    moving = np.array([np.abs(bouts(6000, 25.0, np.random.default_rng(s), []).light) > 1e-9 for s in range(60)])
    assert 0.3 < (moving.mean(axis=1) == 0).mean() < 0.75
    assert 0.1 < moving.mean() < 0.45


def test_shaking_is_acceleration_that_moves():
    still, rng = np.zeros((2000, 3), np.float32), np.random.default_rng(0)
    assert shaken(500, 50.0, rng, [still]) is None
    wave = shaken(500, 50.0, rng, [np.random.default_rng(1).normal(size=(2000, 3)).astype(np.float32)]).light
    assert wave.shape == (500,)
    assert wave.std() == pytest.approx(1, abs=1e-6)
    g = Channel(np.random.default_rng(2).normal(size=(3200, 3)).astype(np.float32), 32.0, "acc", "g")
    found = accelerations([None, g, replace(g, units="counts")])
    assert [a.shape for a in found] == [(2500, 3)]


def test_examples_survive_the_disk_and_a_student_goes_on_from_another(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(8, *shape)).astype(np.float32) for shape in ((400,), (256,), (3,), (2,))]
    examples = Examples(*arrays, np.zeros((8, 250), np.int8), np.ones(8, np.float32), np.array(["a"] * 8))
    save_examples(tmp_path / "e.npz", examples, Standard(np.arange(256), np.ones(256)))
    again, standard = load_examples(tmp_path / "e.npz")
    np.testing.assert_array_equal(again.x, examples.x)
    assert standard.mean[7] == 7
    assert standard.basis is None
    source = Student(LADDER["band"])
    save_student(tmp_path / "s.safetensors", source, standard, {})
    half = Student(LADDER["band"])
    wanted = (half.embed.weight + source.embed.weight) / 2
    meet_half_way(half, tmp_path / "s.safetensors")
    torch.testing.assert_close(half.embed.weight, wanted)
    with pytest.raises(CheckpointError, match="another size"):
        meet_half_way(Student(LADDER["watch"]), tmp_path / "s.safetensors")
    fresh = Student(replace(LADDER["band"], head=(8, 8)))
    assert take_over(fresh, tmp_path / "s.safetensors").mean[7] == 7
    torch.testing.assert_close(fresh.embed.weight, source.embed.weight)
    with pytest.raises(CheckpointError, match="another size"):
        take_over(Student(LADDER["watch"]), tmp_path / "s.safetensors")


def test_a_moved_threshold_is_where_the_answer_turns(student):
    x = torch.randn(3, student.config.window)
    before = student(x)[1]
    student.move_thresholds({"quality": 1.6})
    torch.testing.assert_close(before - student(x)[1], torch.tensor([[0.0, 0.2, 0.0]] * 3), atol=1e-5, rtol=0)
    student.move_thresholds({"quality": -1.6})


# --- integers ---


def exact_requantise(x: int, multiplier: int, shift: int) -> int:
    """gemmlowp's two steps with Python's unbounded integers, written from its definition."""
    product = (x << max(shift, 0)) * multiplier
    nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
    total = product + nudge
    high = total // (1 << 31) if total >= 0 else -(-total // (1 << 31))  # C++ truncates
    right = max(-shift, 0)
    if right == 0:
        return high
    # Round half away from zero.
    half = 1 << (right - 1)
    return (high + half) >> right if high >= 0 else -((-high + half) >> right)


@settings(max_examples=400, deadline=None)
@given(st.integers(-(2**27), 2**27), st.floats(1e-6, 0.9999))
def test_requantisation_is_the_reference_kernels(x, real):
    multiplier, shift = quantised_multiplier(real)
    assert multiplier / 2**31 * 2.0**shift == pytest.approx(real, rel=1e-9)
    got = int(requantise(np.array([x]), np.array([multiplier]), np.array([shift]))[0])
    assert got == exact_requantise(x, multiplier, shift)
    assert abs(got - x * real) <= 1.0


def test_integers_compute_what_brevitas_computes(student):
    batches = [torch.randn(64, student.config.window).clamp(-4, 4) for _ in range(3)]
    quantised = quantise(student, batches)
    model = read_integers(quantised)
    x = batches[0][:16].numpy()
    embedding, answers = model.run(model.quantise_input(x))
    with torch.no_grad():
        fake, fake_answers = quantised(torch.from_numpy(x))
    steps = np.abs(np.rint(fake.numpy() / model.embedding_scale) - embedding)
    # The reference kernels round twice, Brevitas once: a last bit may move now and then, and travels.
    assert np.mean(steps <= 1) > 0.9
    assert cosine(fake.numpy(), embedding.astype(float)).min() > 0.995
    assert np.abs(fake_answers.numpy() / model.answers_scale - answers).max() < 12
    assert all(np.abs(layer.weight.astype(int)).max() == 127 for layer in model.layers if not layer.depthwise)


def test_a_saved_quantised_student_is_the_same_integers(tmp_path, student):
    quantised = quantise(student, [torch.randn(32, student.config.window)])
    path = tmp_path / "q.safetensors"
    save_quantised(path, quantised, {})
    assert read_integers(load_quantised(path)).digest() == read_integers(quantised).digest()
    damaged = bytearray(path.read_bytes())
    damaged[-2000] ^= 0x3F
    path.write_bytes(bytes(damaged))
    with pytest.raises(CheckpointError):
        load_quantised(path)


def test_qat_comes_closer_to_its_parent_than_it_started(student):
    torch.manual_seed(0)
    x = torch.randn(512, student.config.window).clamp(-4, 4)
    quantised = quantise(student, [x[:64]])
    rows = list(train_quantised(quantised, student, x.numpy(), steps=20, batch=64, lr=1.5e-4, seed=0))
    first, last = (np.mean([r["distance"] for r in part]) for part in (rows[:4], rows[-4:]))
    assert last < first


def test_comparison_is_paired_and_sees_damage():
    rng = np.random.default_rng(0)
    n = 400
    person = np.repeat([f"p{i}" for i in range(20)], 20)
    labels = np.stack([rng.normal(size=n), np.ones(n), np.zeros(n)], axis=1).astype(np.float32)
    labels[:, 1:] = rng.integers(0, 2, (n, 2))
    embedding = rng.normal(size=(n, 256))
    answers = labels + rng.normal(0, 0.6, (n, 3))
    data = Evaluation("made up", np.zeros((n, 1)), labels, person)
    same = compare(Outputs(embedding, answers), Outputs(embedding, answers), data)
    assert same["quality"]["difference"] == (0, 0, 0)
    assert same["cosine"] == {"median": pytest.approx(1), "worst": pytest.approx(1), "below_0.99": 0}
    worse = compare(Outputs(embedding, answers), Outputs(-embedding, answers + rng.normal(0, 3, (n, 3))), data)
    assert worse["cosine"]["worst"] == pytest.approx(-1)
    assert worse["irregular"]["difference"][2] < 0
    assert worse["heart_rate"]["difference"][1] > 0


# --- teachers of any width ---


@pytest.mark.parametrize("width", [24, 255])
def test_a_narrow_embedding_keeps_its_angles(width):
    x = np.random.default_rng(0).normal(size=(40, width))
    wide = x @ common_width(x)
    np.testing.assert_allclose(wide @ wide.T, x @ x.T, atol=1e-3)


def test_a_wide_embedding_keeps_what_varies():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 30)) @ rng.normal(size=(30, 512)) + 1e-3 * rng.normal(size=(600, 512))
    narrow = x @ common_width(x)
    centred, kept = x - x.mean(0), narrow - narrow.mean(0)
    assert narrow.shape == (600, 256)
    assert (kept**2).sum() == pytest.approx((centred**2).sum(), rel=1e-3)
    assert kept.std(0).max() < 5 * kept.std(0).min()  # spread over all coordinates


def test_the_watchs_own_width_is_left_alone():
    assert common_width(np.zeros((3, 256))) is None


def test_the_shipped_teacher_by_name_has_the_shipped_students(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert int8_weights("watch", "xmae-rhythm") == int8_weights("watch")
    with pytest.raises(CheckpointError, match="no student of mae"):
        int8_weights("watch", "mae")
