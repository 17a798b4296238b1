"""Pretrain an encoder: xMAE, or any of the eight systems that it is compared with, at an equal budget.

    python models/pretrain.py                        # the recipe of the shipped teacher
    python models/pretrain.py --method dino          # runs/pretrain/dino/encoder.safetensors
    python models/pretrain.py --method dino --resume

Every step's batch is drawn from a generator seeded by (seed, step): a resumed run sees what an uninterrupted one would
have seen, and two methods that take single windows see the same ones.
"""

from __future__ import annotations

from onwrist.models.objectives.settings import PretrainConfig


def main(config: PretrainConfig) -> None:
    """Pretrain one system on the open ICU recordings."""

    from onwrist.command import bar, say
    from onwrist.models.objectives.pretraining import pretrain
    from onwrist.models.objectives.sampler import motion_of
    from onwrist.models.objectives.zoo import SYSTEMS
    from onwrist.signals.people.cohort import load_tracks

    tracks = load_tracks("cinc2015_125hz", config.data, bar)
    disturbed = SYSTEMS[config.method].build.disturb
    motion = motion_of(load_tracks("stress_predict", config.data, bar)) if disturbed else []
    steps = bar(pretrain(config, tracks, motion), f"pretrain {config.method}", total=config.steps)
    for row in steps:
        steps.set_postfix({k: f"{v:.3f}" for k, v in {"loss": row.loss, **row.parts}.items()})
        if row.validation:
            say(f"step {row.step + 1}: " + ", ".join(f"{k} {v:.3f}" for k, v in row.validation.items()))
    say(f"weights: {config.folder / 'encoder.safetensors'}")


if __name__ == "__main__":
    from onwrist.command import run

    run(main, PretrainConfig)
