"""Each objective computes its formula, trains what it should and nothing else, and shows when it collapses."""

import io
import json
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from synthetic import synthetic_track
from torch import nn

from onwrist.errors import CheckpointError, ConfigError, ExportError
from onwrist.models.encoders.checkpoint import load_encoder
from onwrist.models.encoders.resnet import ResNet1D
from onwrist.models.encoders.vit import ViT1D
from onwrist.models.objectives.apple import info_nce, koleo, two_way
from onwrist.models.objectives.base import Batch, effective_rank, hidden_patches, kept_count, scatter_visible
from onwrist.models.objectives.curves import work
from onwrist.models.objectives.dino import STUDENT_TEMPERATURE, TEACHER_TEMPERATURE, distillation_loss
from onwrist.models.objectives.mae import hidden_error
from onwrist.models.objectives.momentum import Momentum, rising
from onwrist.models.objectives.msn import assignments, siamese_loss
from onwrist.models.objectives.pretraining import pretrain, validate
from onwrist.models.objectives.sampler import Sampler
from onwrist.models.objectives.settings import PretrainConfig
from onwrist.models.objectives.simclr import nt_xent
from onwrist.models.objectives.views import Views, crops
from onwrist.models.objectives.zoo import NINE, SYSTEMS, build

EVERY = tuple(SYSTEMS)
SELF_DISTILLED = ("dino", "msn")  # the slow copy is kept
MOMENTUM = (*SELF_DISTILLED, "apple", "apple-m")


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler([synthetic_track(i, f"a3{i:02d}l") for i in range(6)])


def batch_for(objective, sampler: Sampler, count: int = 6) -> Batch:
    return sampler.batch(np.random.default_rng(0), count, pairs=objective.pairs)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- names and sizes ---


def test_the_nine_are_named_everywhere():
    assert len(NINE) == 9
    assert set(typing.get_args(typing.get_type_hints(PretrainConfig)["method"])) == set(EVERY)
    with pytest.raises(ConfigError, match="no system 'byol'"):
        build("byol")


@pytest.mark.parametrize("name", NINE)
def test_parameter_counts_are_the_tables(name):
    """6.5 to 6.7 M for what a transformer's objective trains, 5.0 M for the ResNet1D itself."""
    objective = build(name)
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    if isinstance(objective.encoder, ResNet1D):
        assert round(sum(p.numel() for p in objective.encoder.parameters()) / 1e6, 1) == 5.0
    else:
        assert 6.45e6 < trained < 6.75e6


# --- formulas on numbers that can be worked out by hand ---


def test_nt_xent_of_two_perfect_pairs():
    z = torch.tensor([[1.0, 0], [2, 0], [0, 3], [0, 1]])
    assert nt_xent(z, 1.0).item() == pytest.approx(-np.log(np.e / (np.e + 2)))
    crossed = z[[0, 2, 1, 3]]
    assert nt_xent(crossed, 1.0).item() == pytest.approx(-np.log(1 / (np.e + 2)))


def test_info_nce_finds_its_own_row():
    x = torch.eye(3)
    assert info_nce(x, x, 1.0).item() == pytest.approx(-np.log(np.e / (np.e + 2)))
    assert info_nce(x, x.roll(1, 0), 1.0) > info_nce(x, x, 1.0)


def test_koleo_is_minus_the_log_of_the_nearest_distance():
    opposite = torch.tensor([[1.0, 0], [-5.0, 0]])
    assert koleo(opposite).item() == pytest.approx(-np.log(2), abs=1e-6)
    square = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert koleo(square).item() == pytest.approx(-0.5 * np.log(2), abs=1e-6)
    assert koleo(torch.ones(4, 2)) > 10


def test_two_way_contrast_crosses_online_and_momentum():
    a, b = torch.eye(4), torch.eye(4).roll(1, 0)
    assert two_way(a, b, b, a)[0] < two_way(a, b, a, b)[0]


def test_distillation_is_the_cross_entropy_of_other_views_only():
    told = (torch.tensor([[10.0, 0]]), torch.tensor([[0.0, 10]]))
    said = [torch.tensor([[0.5, 0]]), torch.tensor([[0.0, 0]]), torch.tensor([[0.2, 0.1]])]
    total = 0.0
    for i, t in enumerate(told):
        for j, s in enumerate(said):
            if i != j:
                p = F.softmax(t / TEACHER_TEMPERATURE, 1)
                total -= float((p * F.log_softmax(s / STUDENT_TEMPERATURE, 1)).sum())
    assert distillation_loss(said, told, torch.zeros(2)).item() == pytest.approx(total / 4)


def test_centring_takes_a_class_that_everybody_has_away():
    told = (torch.tensor([[4.0, 0], [4, 1]]),) * 2
    said = [torch.tensor([[1.0, 0], [0, 1]])] * 2
    favourite = distillation_loss(said, told, torch.zeros(2))
    centred = distillation_loss(said, told, torch.tensor([4.0, 0.5]))
    assert centred < favourite  # without the favourite the two windows differ as the student says


def test_siamese_loss_of_sure_and_of_even_assignments():
    prototypes = torch.eye(2)
    cross, entropy = siamese_loss(torch.eye(2), torch.eye(2), prototypes)
    p = np.exp(10) / (np.exp(10) + 1)
    assert cross.item() == pytest.approx(-np.log(p), rel=1e-3)
    assert entropy.item() == pytest.approx(np.log(2))
    one_sided = siamese_loss(torch.eye(2)[[0, 0]], torch.eye(2)[[0, 0]], prototypes)[1]
    assert one_sided < 0.01
    assert assignments(torch.ones(1, 2), prototypes, 0.1).tolist() == [[0.5, 0.5]]


def test_only_hidden_patches_count():
    patches, visible = torch.zeros(1, 25, 40), torch.tensor([[0, 3]])
    wrong = patches.clone()
    wrong[:, [0, 3]] = 7.0
    assert hidden_error(wrong, patches, visible) == 0
    wrong[:, 4] = 2.0
    assert hidden_error(wrong, patches, visible).item() == pytest.approx(4.0 / 23)


def test_effective_rank_of_known_clouds():
    rng = torch.Generator().manual_seed(0)
    assert effective_rank(torch.ones(50, 8)) == 0
    assert effective_rank(torch.randn(50, 1, generator=rng) * torch.ones(1, 8)) == pytest.approx(1, abs=1e-6)
    corners = torch.cat([torch.eye(8), -torch.eye(8)])
    assert effective_rank(corners) == pytest.approx(8)


def test_momentum_moves_by_its_share_and_ends_standing_still():
    fast = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    slow = Momentum(fast)
    with torch.no_grad():
        for p in fast.parameters():
            p.add_(1.0)
    fast[1].running_mean += 4.0
    before = slow.slow[0].weight.clone()
    slow.update(fast, 0.75)
    torch.testing.assert_close(slow.slow[0].weight, before + 0.25)
    torch.testing.assert_close(slow.slow[1].running_mean, torch.ones(2))
    assert rising(0.996, 0.0) == pytest.approx(0.996)
    assert rising(0.996, 1.0) == 1.0


# --- masks and views ---


def test_random_masks_hide_the_share_that_they_should():
    visible = scatter_visible(200, 25, 0.8, draw())
    assert visible.shape == (200, 5)
    assert (visible.diff(dim=1) > 0).all()
    assert hidden_patches(visible, 25).sum(1).unique().tolist() == [20]
    assert len(visible.flatten().unique()) == 25
    with pytest.raises(ConfigError, match="leaves 0 of 25"):
        kept_count(25, 0.99)


def test_an_encoder_of_visible_patches_does_not_see_the_others():
    torch.manual_seed(0)
    encoder, wave = ViT1D().eval(), torch.randn(2, 1000)
    visible = scatter_visible(2, 25, 0.75, draw())
    hidden = hidden_patches(visible, 25).repeat_interleave(40, dim=1).bool()
    with torch.no_grad():
        tokens = encoder.tokens(wave, visible)
        torch.testing.assert_close(encoder.tokens(torch.where(hidden, 9.0, wave), visible), tokens)
        everything = torch.arange(25).expand(2, -1)
        torch.testing.assert_close(encoder.tokens(wave, everything), encoder.tokens(wave))


def test_views_disturb_as_often_as_they_say():
    waves = torch.linspace(-1, 1, 1000).expand(2000, -1)
    assert torch.equal(Views()(waves, draw()), waves)
    for name, share in (("negate", 0.2), ("flip", 0.3), ("noise", 0.4), ("scale", 0.5), ("crop", 0.6)):
        changed = (Views(**{name: share})(waves, draw(1)) != waves).any(1).float().mean()
        assert changed.item() == pytest.approx(share, abs=0.04)
    cropped = Views(crop=1.0)(torch.ones(500, 1000), draw(2))
    assert ((cropped.diff(dim=1) != 0).sum(1) <= 2).all()  # one run
    assert (cropped.mean(1) >= 0.499).all()  # the larger part


def test_crops_are_runs_of_the_window():
    waves = torch.arange(1000.0).expand(50, -1)
    cut = crops(waves, 320, draw())
    assert cut.shape == (50, 320)
    assert (cut.diff(dim=1) == 1).all()
    assert cut[:, 0].unique().numel() > 20


# --- people ---


def test_pairs_are_two_windows_of_one_person_and_nobody_comes_twice(sampler):
    batch = sampler.batch(np.random.default_rng(3), 8, pairs=True)
    assert torch.equal(batch.person[0::2], batch.person[1::2])
    assert batch.person[0::2].unique().numel() == 4
    assert not torch.equal(batch.ppg[0::2], batch.ppg[1::2])
    with pytest.raises(ConfigError, match="no pairs"):
        sampler.batch(np.random.default_rng(0), 5, pairs=True)


@pytest.mark.parametrize("name", NINE)
def test_who_contrasts_people_asks_for_pairs(name):
    assert build(name).pairs == (name in ("papagei", "apple"))


def test_all_methods_without_pairs_see_the_same_windows(sampler):
    plain = sampler.batch(np.random.default_rng([0, 7]), 4)
    again = sampler.batch(np.random.default_rng([0, 7]), 4)
    assert torch.equal(plain.ppg, again.ppg)
    assert torch.equal(plain.ecg, again.ecg)


# --- gradients ---


@pytest.mark.parametrize("name", NINE)
def test_gradients_flow_where_they_should(name, sampler):
    """Everything trainable is trained, but what the network never calls; no slow copy is ever reached."""
    torch.manual_seed(0)
    objective = build(name).train()
    objective.loss(batch_for(objective, sampler), np.random.default_rng(0))[0].backward()
    untouched = {n for n, p in objective.named_parameters() if p.requires_grad and p.grad is None}
    never_called = ("ppg2ecg", "mask_token", "ppg_path.dec_blk", "ppg_path.decoder", "ppg_path.mask_loc_table")
    projection = ("model.ppg_path.proj", "model.ecg_path.proj")  # xMAE's loss does not reach its embedding
    assert all(any(part in n for part in (*never_called, *projection)) for n in untouched), untouched
    slow = [p for n, p in objective.named_parameters() if ".slow." in n]
    assert bool(slow) == (name in MOMENTUM)
    assert all(p.grad is None and not p.requires_grad for p in slow)


def test_targets_get_no_gradient():
    x, y = (torch.randn(4, 8, requires_grad=True) for _ in range(2))
    info_nce(x, y).backward()
    assert x.grad.abs().sum() > 0
    assert y.grad is None
    siamese_loss(x, y, torch.eye(8))[0].backward()
    assert y.grad is None
    distillation_loss([x, x], (y, y), torch.zeros(8)).backward()
    assert y.grad is None


@pytest.mark.parametrize(
    ("name", "reads"), [("lsm", True), ("apple-m", True), ("xmae", True), ("mae", False), ("dino", False)]
)
def test_who_reads_the_ecg(name, reads, sampler):
    torch.manual_seed(0)
    objective = build(name).eval()
    batch = batch_for(objective, sampler)
    other = Batch(batch.ppg, batch.ecg.flip(1), batch.person, batch.target, batch.beats, batch.weight)
    with torch.no_grad():
        a, b = (objective.loss(x, np.random.default_rng(0))[0] for x in (batch, other))
    assert (a != b).item() == reads


# --- training ---


@pytest.mark.parametrize("name", NINE)
def test_every_objective_can_be_descended(name, sampler):
    """On one batch with one draw of masks and views: a formula of the wrong sign cannot pass."""
    torch.manual_seed(0)
    objective = build(name).eval()  # DINO's centre stands still, or it would move the goal
    batch = batch_for(objective, sampler, 4)
    optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=2e-4)
    losses = []
    for _ in range(8):
        loss = objective.loss(batch, np.random.default_rng(0))[0]
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert min(losses[-3:]) < losses[0]


def config(name: str, folder: Path, steps: int, **more) -> PretrainConfig:
    return PretrainConfig(method=name, out=folder, windows=4 * steps, batch=4, bf16=False, **more)


@pytest.fixture(scope="module")
def tracks():
    return [synthetic_track(i, f"a3{i:02d}l") for i in range(3)]


@pytest.mark.parametrize("name", EVERY)
def test_every_system_trains_and_loads(name, tmp_path, tracks):
    (row,) = pretrain(config(name, tmp_path, 1), tracks)
    assert np.isfinite(row.loss)
    encoder = load_encoder(tmp_path / "encoder.safetensors")
    with torch.no_grad():
        embedding = encoder(torch.rand(2, 1000, generator=draw()) * 2 - 1)
    assert embedding.shape == (2, 512 if isinstance(encoder, ResNet1D) else 256)
    assert torch.isfinite(embedding).all()


@pytest.mark.parametrize("name", ["dino", "xmae-published"])
def test_slow_copies_centres_and_dropout_survive_an_interruption(name, tmp_path, tracks):
    whole = [row.loss for row in pretrain(config(name, tmp_path / "a", 2), tracks)]
    run = pretrain(config(name, tmp_path / "b", 2, save_every_s=0.0), tracks)
    first = next(run).loss
    run.close()
    rest = [row.loss for row in pretrain(config(name, tmp_path / "b", 2, resume=True), tracks)]
    assert [first, *rest] == pytest.approx(whole, rel=1e-5)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def killed(folder, tracks, steps=3, **more):
    """A run that was killed after its last step but one was logged, and before that was saved."""
    run = pretrain(config("mae", folder, steps, save_every_s=0.0, **more), tracks)
    next(run)
    kept = (folder / "last.pt").read_bytes()
    next(run)
    run.close()
    (folder / "last.pt").write_bytes(kept)
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 2, "sec')


def test_the_log_of_a_resumed_run_is_that_of_one_run(tmp_path, tracks):
    killed(tmp_path, tracks)
    before = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["seconds"]
    list(pretrain(config("mae", tmp_path, 3, resume=True), tracks))
    rows = rows_of(tmp_path)
    assert [r["step"] for r in rows] == [0, 1, 2]
    seconds = [r["seconds"] for r in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] == before
    list(pretrain(config("mae", tmp_path, 2), tracks))
    assert [r["step"] for r in rows_of(tmp_path)] == [0, 1]  # not resumed: anew


def test_a_damaged_checkpoint_is_one_typed_error(tmp_path, tracks):
    killed(tmp_path, tracks)
    whole = (tmp_path / "last.pt").read_bytes()
    log = (tmp_path / "log.jsonl").read_bytes()
    other = io.BytesIO()
    torch.save({"step": 1, "config": {}}, other)
    for damaged in (whole[: len(whole) // 2], whole[:-20], b"", b"PK", other.getvalue()):
        (tmp_path / "last.pt").write_bytes(damaged)
        with pytest.raises((CheckpointError, ConfigError), match=r"last\.pt") as error:
            next(pretrain(config("mae", tmp_path, 3, resume=True), tracks))
        assert error.value.cure
        assert (tmp_path / "log.jsonl").read_bytes() == log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tmp_path, tracks, monkeypatch):
    killed(tmp_path, tracks)
    kept = (tmp_path / "last.pt").read_bytes()
    with monkeypatch.context() as m:

        def full(path, data):
            Path("/dev/full").write_bytes(data)

        m.setattr("onwrist.writing._write", full)
        with pytest.raises(ExportError, match="No space left"):
            list(pretrain(config("mae", tmp_path, 3, resume=True), tracks))
    run = pretrain(config("mae", tmp_path, 3, resume=True), tracks)
    next(run)
    log = tmp_path / "log.jsonl"
    log.rename(tmp_path / "kept")
    log.symlink_to("/dev/full")
    with pytest.raises(ExportError, match=r"log\.jsonl.*No space left.*--resume"):
        next(run)
    (tmp_path / "kept").replace(log)
    assert (tmp_path / "last.pt").read_bytes() == kept
    list(pretrain(config("mae", tmp_path, 3, resume=True), tracks))  # room was made
    assert [r["step"] for r in rows_of(tmp_path)] == [0, 1, 2]
    load_encoder(tmp_path / "encoder.safetensors")


def test_two_runs_into_one_folder_are_refused(tmp_path, tracks):
    run = pretrain(config("mae", tmp_path / "run", 2), tracks)
    next(run)
    with pytest.raises(ExportError, match="another run"):
        next(pretrain(config("mae", tmp_path / "run", 2), tracks))
    run.close()
    assert len(list(pretrain(config("mae", tmp_path / "run", 1), tracks))) == 1


def test_collapse_shows_in_the_rank(sampler):
    torch.manual_seed(0)
    objective = build("mae")
    healthy = validate(objective, sampler, 8)["rank"]
    with torch.no_grad():
        objective.encoder.norm.weight.zero_()
    assert validate(objective, sampler, 8)["rank"] == 0
    assert healthy > 1.5


def test_the_slow_copy_is_what_is_kept():
    for name in SELF_DISTILLED:
        objective = build(name)
        assert objective.encoder is objective.teacher.slow.encoder
        with torch.no_grad():
            objective.student.encoder.pos.add_(1.0)
        objective.after_step(0.0)
        moved = (objective.encoder.pos - objective.student.encoder.pos).abs().mean()
        assert moved.item() == pytest.approx(0.996, abs=1e-3)


def test_a_system_without_weights_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"pretrain\.py --method msn"):
        load_encoder("msn")


def test_work_is_counted_as_the_paper_counts_it():
    assert work(build("xmae").encoder.eval()) == pytest.approx(157.5e6, rel=0.005)
