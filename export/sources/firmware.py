"""A student with its front end as the sources that a firmware project compiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onwrist.errors import ExportError
from onwrist.export.graphs.tflite_writer import write_tflite_step
from onwrist.export.sources.acceleration_rules import ACCELERATION_INPUT, acceleration_of, acceleration_rules
from onwrist.export.sources.beats_rules import beats_config, room_for
from onwrist.export.sources.c_writer import write_c
from onwrist.export.sources.files import KERNELS, MODEL_NAME, WITH_ACCELERATION, Firmware, runtime_sources
from onwrist.export.sources.telemetry_rules import TelemetryRules
from onwrist.export.sources.watch_rules import BURST, watch_rules
from onwrist.models.student.names import ANSWERS_OUTPUT, EMBEDDING_OUTPUT
from onwrist.quantize.integers.arithmetic import IntegerModel
from onwrist.signals.front_end.acceleration import AccelerationDesign
from onwrist.signals.front_end.fixed import (
    ALPHA_BITS,
    KEEP_BITS,
    MAGNITUDE_BITS,
    WEIGHT_BITS,
    FixedDesign,
)
from onwrist.signals.front_end.stages import POLE_BITS, TAP_BITS

DEVICE = ("onwrist.h", "onwrist.c", "onwrist_watch.h", "onwrist_watch.c")
TELEMETRY = ("onwrist_telemetry.h", "onwrist_telemetry.c")
TELEMETRY_CONFIG = "onwrist_telemetry_config.h"
BEATS = ("onwrist_beats.h", "onwrist_beats.c")
BEATS_CONFIG = "onwrist_beats_config.h"
ACCELERATION = ("onwrist_acceleration.h", "onwrist_acceleration.c")
ACCELERATION_TABLES = "onwrist_acceleration_tables.h"
# For bring-up: hand-written, and the vectors that it runs.
MODEL_TEST, WATCH_TEST, BOARD_TEST = SELFTEST = ("selftest.c", "selftest_watch.c", "selftest_board.c")
GOLDEN_HEADER, GOLDEN_WATCH_HEADER = "onwrist_golden.h", "onwrist_golden_watch.h"


def firmware_sources(
    model: IntegerModel, hop: int, design: FixedDesign, burst: int = BURST, acceleration_burst: int = BURST
) -> Firmware:
    """Model, tables, kernels, `onwrist.h` and `onwrist_watch.h` of a student at a hop, behind a sensor.

    Args:
        burst: samples per read-out of the sensor's FIFO. acceleration_burst: of the accelerometer's, where the student takes it.

    Raises:
        ConfigError: not a hop of this model. ExportError: other inputs than light and acceleration, an accelerometer that is
            not described, or no embedding or answers.
    """
    _check_ends(model)
    acceleration = acceleration_of(model, design)
    rules = acceleration_rules(design, hop, acceleration_burst, burst) if acceleration else None
    start = [s[:, 0] for s in model.first_state(hop)]
    made = write_c(write_tflite_step(model, hop), MODEL_NAME, start, keep=True)
    offset = {made.network.tensors[i].name: made.plan.offset[i] for i in (*made.network.inputs, *made.network.outputs)}
    constants: dict[str, int | str] = {
        "ONWRIST_RATE_HZ": f"{design.rate_hz:g}", "ONWRIST_BITS": design.bits, "ONWRIST_HOP": hop,
        "ONWRIST_WINDOW": model.window, "ONWRIST_ARENA_BYTES": made.plan.bytes,
        "ONWRIST_EMBEDDING": model.channels_of(EMBEDDING_OUTPUT),
        "ONWRIST_ANSWERS": model.channels_of(ANSWERS_OUTPUT),
        "ONWRIST_INPUT_SCALE": _c_float(model.input_scale), "ONWRIST_EMBEDDING_SCALE": _c_float(model.embedding_scale),
        "ONWRIST_ANSWERS_SCALE": _c_float(model.answers_scale), "ONWRIST_INPUT_OFFSET": offset[model.inputs[0].name],
        "ONWRIST_EMBEDDING_OFFSET": offset[EMBEDDING_OUTPUT], "ONWRIST_ANSWERS_OFFSET": offset[ANSWERS_OUTPUT],
        "ONWRIST_TAPS": design.taps.shape[1], "ONWRIST_UP": design.up, "ONWRIST_DOWN": design.down,
    }  # fmt: skip
    constants |= {f"ONWRIST_ANSWER_{_macro(name)}": i for i, name in enumerate(model.answers.columns)}
    for output in model.outputs[2:]:
        prefix = f"ONWRIST_{_macro(output.name)}"
        constants |= {
            f"{prefix}_OFFSET": offset[output.name], f"{prefix}_FRAMES": model.frames_of(output.name, hop),
            f"{prefix}_CHANNELS": model.channels_of(output.name), f"{prefix}_SCALE": _c_float(model.scale_of(output.name)),
            f"{prefix}_ZERO": model.grid(output.place)[1],
        }  # fmt: skip
    patience = rules.patience if rules else 0
    constants |= watch_rules(
        design.rate_hz, design.bits, model.window, hop, burst, model.answers, model.sees, patience
    ).constants()
    if acceleration and rules:
        constants |= {
            "ONWRIST_ACC_OFFSET": offset[ACCELERATION_INPUT], "ONWRIST_ACC_RATE_HZ": acceleration.rate_hz,
            "ONWRIST_ACC_BITS": acceleration.bits, "ONWRIST_ACC_COUNTS_PER_G": _c_float(np.float32(acceleration.counts_per_g)),
            "ONWRIST_ACC_STEP_G": _c_float(np.float32(acceleration.step_g)), "ONWRIST_ACC_TAPS": acceleration.taps.shape[1],
            "ONWRIST_ACC_UP": acceleration.up, "ONWRIST_ACC_DOWN": acceleration.down, "ONWRIST_ACC_BURST": acceleration_burst,
            **rules.constants(),
        }  # fmt: skip
    private: dict[str, int | str] = {
        "ONWRIST_TAP_SHIFT": TAP_BITS - design.fraction, "ONWRIST_POLE_BITS": POLE_BITS, "ONWRIST_B0": design.numerator,
        "ONWRIST_A1": f"({design.a1})", "ONWRIST_A2": f"({design.a2})", "ONWRIST_WEIGHT_BITS": WEIGHT_BITS,
        "ONWRIST_KEEP": design.keep, "ONWRIST_KEEP_BITS": KEEP_BITS, "ONWRIST_ALPHA_BITS": ALPHA_BITS,
        "ONWRIST_MAGNITUDE_BITS": MAGNITUDE_BITS, "ONWRIST_FLOOR": f"INT64_C({design.floor})", "ONWRIST_STEPS": design.steps,
        "ONWRIST_MODEL_RESET(a)": f"{MODEL_NAME}_reset(a)", "ONWRIST_MODEL_RUN(a)": f"{MODEL_NAME}_run(a)",
    }  # fmt: skip
    digest = f"/* Generated: student {model.name}, integers {model.digest()[:16]}. */"
    config = "\n".join(
        [digest, "#ifndef ONWRIST_CONFIG_H", "#define ONWRIST_CONFIG_H", "", *_defines(constants), "", "#endif", ""]
    )
    taps = ", ".join(map(str, design.taps.ravel().tolist()))
    tables = "\n".join(
        [
            digest, "#ifndef ONWRIST_TABLES_H", "#define ONWRIST_TABLES_H", "", f'#include "{MODEL_NAME}.h"', "",
            *_defines(private), "", "/* Q29, a row per phase, oldest sample first */",
            f"static const int32_t onwrist_taps[{design.taps.size}] = {{{taps}}};", "", "#endif", "",
        ]
    )  # fmt: skip
    files = {**made.files, "onwrist_config.h": config, "onwrist_tables.h": tables}
    files |= runtime_sources(*KERNELS, *DEVICE, acceleration=acceleration is not None)
    if acceleration:
        files["onwrist_config.h"] = _switched_on(config, WITH_ACCELERATION)
        files |= {ACCELERATION_TABLES: _acceleration_tables(digest, acceleration), **runtime_sources(*ACCELERATION)}
    return Firmware(files, constants, made.plan)


def _acceleration_tables(digest: str, design: AccelerationDesign) -> str:
    """`onwrist_acceleration_tables.h`."""
    values: dict[str, int | str] = {
        "ONWRIST_ACC_TAP_SHIFT": TAP_BITS - design.fraction, "ONWRIST_ACC_POLE_BITS": POLE_BITS,
        "ONWRIST_ACC_B0": design.numerator, "ONWRIST_ACC_A1": f"({design.a1})", "ONWRIST_ACC_A2": f"({design.a2})",
        "ONWRIST_ACC_GAIN": f"INT64_C({design.gain})", "ONWRIST_ACC_SHIFT": design.shift,
    }  # fmt: skip
    taps = ", ".join(map(str, design.taps.ravel().tolist()))
    return "\n".join(
        [
            digest, "#ifndef ONWRIST_ACCELERATION_TABLES_H", "#define ONWRIST_ACCELERATION_TABLES_H", "", *_defines(values), "",
            "/* Q29, a row per phase, oldest sample first */",
            f"static const int32_t onwrist_acc_taps[{design.taps.size}] = {{{taps}}};", "", "#endif", "",
        ]
    )  # fmt: skip


def _switched_on(config: str, macro: str) -> str:
    """`onwrist_config.h` with a part of the hand-written C switched on."""
    return config.replace("#define ONWRIST_CONFIG_H\n", f"#define ONWRIST_CONFIG_H\n\n#define {macro} 1\n")


def with_telemetry(firmware: Firmware, rules: TelemetryRules) -> Firmware:
    """With `onwrist_telemetry.h`: counters of what the model sees."""
    more = {TELEMETRY_CONFIG: rules.config(), **runtime_sources(*TELEMETRY)}
    return replace(firmware, files={**firmware.files, **more})


def with_beats(firmware: Firmware, design: FixedDesign) -> Firmware:
    """With `onwrist_beats.h`: pulse by pulse in every output of the watch.

    Args:
        design: of the front end that the firmware was made with.
    """
    hop = firmware.constants["ONWRIST_HOP"]
    assert isinstance(hop, int)
    files = {**firmware.files, BEATS_CONFIG: beats_config(design, hop), **runtime_sources(*BEATS)}
    files["onwrist_config.h"] = _switched_on(files["onwrist_config.h"], "ONWRIST_WITH_BEATS")
    constants = {**firmware.constants, "ONWRIST_BEATS_ROOM": room_for(hop)}
    return replace(firmware, files=files, constants=constants)


def _macro(name: str) -> str:
    return name.replace(".", "_").upper()


def _check_ends(model: IntegerModel) -> None:
    """What the hand-written C around a model counts on."""
    names = [o.name for o in model.outputs]
    if names[:2] != [EMBEDDING_OUTPUT, ANSWERS_OUTPUT]:
        raise ExportError(
            f"gives {', '.join(names)}",
            field=model.name,
            cure="The watch shows an embedding and answers: let it give both",
        )


def _defines(values: dict[str, int | str]) -> list[str]:
    return [f"#define {name} {value}" for name, value in values.items()]


def _c_float(value: np.float32) -> str:
    return f"{float(value):.9g}f"
