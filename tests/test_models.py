"""The encoder is the authors' to 1e-5; checkpoints load strictly; pretraining resumes; probes do not leak."""

import numpy as np
import pytest
import torch
from deterministic import fill, waves
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sklearn.metrics import roc_auc_score
from synthetic import synthetic_track

from onwrist.errors import CheckpointError, ConfigError
from onwrist.models.bench.probe import auroc, encode, interval_features, paired, probe, random_encoder
from onwrist.models.bench.tasks import Task, Windows, windows_of
from onwrist.models.encoders.checkpoint import TEACHER, deployable, load_encoder, load_xmae, read_state
from onwrist.models.encoders.xmae import XMAE, Path, XMAEConfig
from onwrist.models.objectives.cross_modal import anchor, masked_error
from onwrist.models.objectives.pretraining import learning_rate, pretrain
from onwrist.models.objectives.rhythm import TARGETS, beat_map, rhythm_loss, targets
from onwrist.models.objectives.sampler import Sampler
from onwrist.models.objectives.settings import PretrainConfig
from onwrist.signals.people.cohort import Track, cut, prepare
from onwrist.signals.pulse.beats import Beats
from onwrist.signals.recordings.readers import read_recording


@pytest.fixture(scope="module")
def model() -> XMAE:
    net = XMAE().eval()
    net.load_state_dict(fill(net.state_dict()))
    return net


# --- the network ---


def test_parameter_counts_are_the_published_ones(model):
    assert sum(p.numel() for p in model.parameters()) == 6_481_930
    named = deployable(model.ppg_path)
    buffers = {n for n, _ in model.named_buffers()}
    assert sum(v.numel() for n, v in named.items() if n not in buffers) == 2_301_700


def test_outputs_equal_the_authors_code(model):
    """The golden outputs were made by the authors' own code with the weights of `deterministic.fill`."""
    golden = np.load("tests/golden/xmae_authors.npz")
    ppg, ecg, visible = waves()
    with torch.no_grad():
        out = model(ppg, ecg, visible)
    np.testing.assert_allclose(out.embedding.numpy(), golden["embedding"], atol=1e-5)
    # The reconstruction has a spread of 3.9: 1e-5 of it, and float32's own order of summation.
    np.testing.assert_allclose(out.ecg.numpy(), golden["ecg"], atol=5e-5)


def test_hidden_ecg_does_not_reach_the_output(model):
    ppg, ecg, visible = waves()
    changed = ecg.clone()
    hidden = torch.ones(4, 25).scatter_(1, visible, 0).repeat_interleave(40, 1).bool()
    changed[hidden] = 9.0
    with torch.no_grad():
        torch.testing.assert_close(model(ppg, ecg, visible).ecg, model(ppg, changed, visible).ecg)
        changed[~hidden] = 9.0
        assert (model(ppg, ecg, visible).ecg - model(ppg, changed, visible).ecg).abs().max() > 0.01


def test_encoder_alone_equals_the_encoder_in_the_graph(model):
    ppg, ecg, visible = waves()
    with torch.no_grad():
        torch.testing.assert_close(model.ppg_path(ppg), model(ppg, ecg, visible).embedding)


def test_patch_must_divide_the_window():
    with pytest.raises(ConfigError, match="patch"):
        XMAE(XMAEConfig(patch=37))


# --- checkpoints ---


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("kind", ["pth", "lightning", "safetensors"])
def test_authors_checkpoints_load_strictly(tmp_path, model, prefix, kind):
    state = {prefix + n: v for n, v in model.state_dict().items()}
    path = tmp_path / f"w.{'safetensors' if kind == 'safetensors' else 'pth'}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "lightning" else state, path)
    ppg, ecg, visible = waves()
    with torch.no_grad():
        torch.testing.assert_close(load_xmae(path)(ppg, ecg, visible).ecg, model(ppg, ecg, visible).ecg)
        torch.testing.assert_close(load_encoder(path)(ppg), model.ppg_path(ppg))


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, model):
    state = model.state_dict()
    state.pop("ppg_path.pos")
    torch.save(state, tmp_path / "missing.pth")
    with pytest.raises(CheckpointError, match=r"ppg_path\.pos is missing"):
        load_xmae(tmp_path / "missing.pth")
    state["ppg_path.pos"] = torch.zeros(1, 20, 256)
    torch.save(state, tmp_path / "shape.pth")
    with pytest.raises(CheckpointError, match="has shape"):
        load_xmae(tmp_path / "shape.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        load_encoder(tmp_path / "none.pth")
    (tmp_path / "noise.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(tmp_path / "noise.safetensors")


def test_a_pickle_that_would_execute_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state(tmp_path / "evil.pth")


def test_shipped_teacher_is_trained():
    """Two recordings of one person are closer than two persons: chance for the ranks below is one half."""
    encoder = load_encoder()
    assert TEACHER.stat().st_size < 12e6
    tracks = [prepare(read_recording(f"recordings/{n}.npz")) for n in ("bidmc_05", "bidmc_13", "t477l")]
    cohort = cut(tracks)
    with torch.no_grad():
        z = encoder(torch.from_numpy(cohort.teacher_windows())).numpy()
    z = (z - z.mean(0)) / z.std(0)
    similarity = z @ z.T
    same = cohort.people[:, None] == cohort.people[None, :]
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    assert auroc(same[upper], similarity[upper]) > 0.75


# --- pretraining ---


def small(out, steps=4, **more) -> PretrainConfig:
    return PretrainConfig(out=out, windows=4 * steps, batch=4, bf16=False, save_every_s=0.0, warmup=0.2, **more)


def test_a_resumed_run_is_the_uninterrupted_run(tmp_path):
    tracks = [synthetic_track(i, f"a3{i:02d}l") for i in range(3)]
    whole = [row.loss for row in pretrain(small(tmp_path / "a", steps=4), tracks)]
    run = pretrain(small(tmp_path / "b", steps=4), tracks)
    first = [next(run).loss for _ in range(2)]
    run.close()
    rest = [row.loss for row in pretrain(small(tmp_path / "b", steps=4, resume=True), tracks)]
    assert first + rest == pytest.approx(whole, rel=1e-6)
    assert (tmp_path / "b" / "encoder.safetensors").exists()
    with pytest.raises(ConfigError, match="lr"):
        next(pretrain(small(tmp_path / "b", steps=4, resume=True, lr=1e-5), tracks))


def test_nothing_to_train_on_is_said(tmp_path):
    track = synthetic_track(0)
    track.role = "test"
    with pytest.raises(ConfigError, match="no training recordings"):
        next(pretrain(small(tmp_path, steps=1), [track]))


def test_only_hidden_samples_count():
    ecg = torch.zeros(1, 1000)
    visible = torch.arange(5)[None]
    wrong_where_visible = ecg.clone()
    wrong_where_visible[:, :200] = 5.0
    assert masked_error(wrong_where_visible, ecg, visible, 40, torch.ones(1))[0] == 0
    wrong_where_hidden = ecg.clone()
    wrong_where_hidden[:, 200:] = 2.0
    assert masked_error(wrong_where_hidden, ecg, visible, 40, torch.ones(1))[0] == pytest.approx(4.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 0.9), st.integers(0, 1000))
def test_anchor_is_one_visible_run(ratio, seed):
    visible = anchor(np.random.default_rng(seed), 8, 25, ratio)
    assert visible.shape[1] == 25 - round(ratio * 25)
    assert (visible.diff(dim=1) == 1).all()
    assert visible.min() >= 0
    assert visible.max() < 25


def test_alignment_puts_every_record_at_the_same_delay():
    track = synthetic_track(0)
    early, late = Sampler([track]), Sampler([track])
    late.tracks = [Track(**{**track.__dict__, "beats": Beats(track.beats.r, track.beats.upslope, 0.45)})]
    a = early.batch(np.random.default_rng(0), 1).ecg[0]
    b = late.batch(np.random.default_rng(0), 1).ecg[0]
    assert np.corrcoef(a[:-20], b[20:])[0, 1] > 0.95  # moved by 0.2 s, later


def test_targets_of_a_stretched_window():
    beats = synthetic_track(1).beats
    plain, fast = targets(beats, 5, 15), targets(beats, 5, 15, stretch=2.0)
    rate = TARGETS.index("hr")
    assert fast[rate] - plain[rate] == pytest.approx(np.log(2) / 0.3, abs=1e-5)
    assert beat_map(beats, 5, 15, 250).sum() == pytest.approx(
        2 * np.sum((beats.r + 0.25 >= 5) & (beats.r + 0.25 < 15)), abs=1
    )


def test_unknown_targets_do_not_train():
    predicted = torch.randn(3, len(TARGETS), requires_grad=True)
    target = torch.full((3, len(TARGETS)), float("nan"))
    target[0, 0] = 1.0
    rhythm_loss(predicted, target).backward()
    assert (predicted.grad != 0).sum() == 1


def test_learning_rate_rises_then_falls_to_zero():
    config = PretrainConfig(windows=6400, warmup=0.1)
    rates = [learning_rate(i, config, 1.0) for i in range(100)]
    assert np.argmax(rates) in (9, 10)
    assert rates[-1] < 0.01
    assert rates[0] == pytest.approx(0.1)


# --- probes ---


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=4, max_size=60))
def test_auroc_is_scikit_learns(rows):
    y, s = (np.array(c) for c in zip(*rows, strict=True))
    if len(set(y)) < 2:
        assert np.isnan(auroc(y, s))
    else:
        assert auroc(y, s) == pytest.approx(roc_auc_score(y, s))


def test_a_paired_interval_sees_a_real_difference_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 30)
    y = rng.integers(0, 2, 600)
    good, bad = y + rng.normal(0, 0.5, 600), y + rng.normal(0, 3.0, 600)
    d, low, high = paired("auroc", y, good, bad, person)
    assert low <= d <= high
    assert low > 0
    assert paired("auroc", y, good, good, person) == (0, 0, 0)


def test_a_probe_cannot_memorise_people():
    """Features that name the person and nothing else score no better than chance on other people."""
    rng = np.random.default_rng(0)
    person = np.repeat([f"p{i}" for i in range(24)], 20)
    y = np.repeat(rng.permutation(np.arange(24) % 2), 20).astype(float)
    identity = np.eye(24)[np.repeat(np.arange(24), 20)]
    windows = Windows(np.zeros((480, 10)), person, person, np.zeros(480, bool), {"y": y})
    result = probe(Task("t", "d", "y", "auroc", "folds", 4), windows, identity, "identity")
    assert result.score < 0.65
    assert result.windows == 480


def test_hand_made_features_know_the_heart_rate(recordings):
    windows = windows_of(cut([prepare(read_recording(recordings / "bidmc_13.npz"))]))
    features = interval_features(windows.teacher)
    assert features.shape[1] == 10
    assert np.nanmedian(np.abs(features[:, 0] - windows.labels["hr"])) < 2


def test_random_weights_give_features(recordings):
    encoder = random_encoder()
    assert isinstance(encoder, Path)
    assert [f.shape for f in encode(encoder, np.zeros((3, 1000), np.float32))] == [(3, 512), (3, 256)]
