"""Instructions by class and the cycles that follow."""

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onwrist.export.sources.firmware import firmware_sources
from onwrist.firmware_sim.parity.cycles import TIMINGS, Flash, core_cycles, part_cycles
from onwrist.firmware_sim.parity.parts import PARTS, cells, cost, mix_cells
from onwrist.firmware_sim.runtimes.compiler import CORES, M55
from onwrist.firmware_sim.runtimes.device import FirmwareStep
from onwrist.firmware_sim.runtimes.instructions import (
    BRANCH,
    DIVIDE,
    FOLDED,
    LOAD,
    MAC,
    MOVES,
    MULTIPLY,
    OTHER,
    STORE,
    V_LOAD,
    V_MAC,
    V_STORE,
    VECTOR,
    decode,
    split,
)
from onwrist.firmware_sim.runtimes.mix import Cache, Mix, mix_of_hop
from onwrist.firmware_sim.runtimes.qemu import absent
from onwrist.firmware_sim.watch.watch import WatchConfig
from onwrist.quantize.integers.training import load_integers
from onwrist.signals.front_end.fixed import design

# Half-words as `arm-none-eabi-as` writes them.
ENCODED = {
    "ldr r0, [r1]": ((0x6808,), LOAD, 0), "strb r0, [r1, #1]": ((0x7048,), STORE, 0), "adds r0, #1": ((0x3001,), OTHER, 0),
    "ldrd r2, r3, [r0], #8": ((0xE8F0, 0x2302), MOVES, 2), "ldm r3!, {r4-r7}": ((0xCBF0,), MOVES, 4),
    "push {r4-r11, lr}": ((0xE92D, 0x4FF0), MOVES, 9), "smlad r4, r2, r12, r4": ((0xFB22, 0x440C), MAC, 0),
    "smmulr r4, r4, r12": ((0xFB54, 0xF41C), MULTIPLY, 0), "mul r0, r1, r2": ((0xFB01, 0xF002), MULTIPLY, 0),
    "udiv r0, r1, r2": ((0xFBB1, 0xF0F2), DIVIDE, 0), "it eq": ((0xBF08,), FOLDED, 0), "b .": ((0xE7FE,), BRANCH, 0),
    "cbz r3, .+4": ((0xB11B,), BRANCH, 0), "ssat r4, #8, r4, asr #1": ((0xF324, 0x0447), OTHER, 0),
    "vldrb.u8 q0, [r1], #16": ((0xECB1, 0x1E10), V_LOAD, 0), "vstrw.32 q0, [r3]": ((0xED83, 0x1F00), V_STORE, 0),
    "vmladava.s8 r0, q0, q2": ((0xEEF0, 0x0F24), V_MAC, 0), "vadd.i32 q0, q1, q2": ((0xEF22, 0x0844), VECTOR, 0),
    "vaddv.s32 r0, q0": ((0xEEF9, 0x0F00), VECTOR, 0), "vmov q0[2], q0[0], r0, r4": ((0xEC04, 0x0F00), VECTOR, 0), "dls lr, r0": ((0xF040, 0xE001), BRANCH, 0),
}  # fmt: skip


def mix(core: str, words: int = 0, taken: int = 0, narrow: int = 0, **kinds: int) -> Mix:
    names = {"load": LOAD, "store": STORE, "moves": MOVES, "other": OTHER, "branch": BRANCH}
    return Mix(core, Counter({names[k]: n for k, n in kinds.items()}), words, narrow, taken)


def code(*words: int) -> bytes:
    return b"".join(w.to_bytes(2, "little") for w in words)


@pytest.mark.parametrize("text", ENCODED)
def test_an_instruction_is_of_its_kind(text):
    words, kind, moved = ENCODED[text]
    found = decode(code(*words))
    assert (found.kind, found.bytes) == (kind, 2 * len(words))
    assert found.words == moved or found.kind in (LOAD, STORE)


def test_straight_code_is_split_where_instructions_begin():
    found = split(b"".join(code(*words) for words, *_ in ENCODED.values()))
    assert [i.kind for i in found] == [kind for _, kind, _ in ENCODED.values()]


def test_what_arm_publishes_of_sequences_is_in_the_range_of_an_m4():
    # Arm 100166, 3.3.2 and 3.3.3: three loads in a row four cycles, LDM of three registers 4 or 5, STM of eight nine, a jump 1 + P.
    published = [
        (mix("M4F", load=3), (4, 4)), (mix("M4F", moves=1, words=3), (4, 5)), (mix("M4F", moves=1, words=8), (9, 9)),
        (mix("M4F", branch=1, taken=1), (2, 4)), (mix("M4F", branch=1), (1, 1)), (mix("M4F", other=5), (5, 5)),
    ]  # fmt: skip
    for sequence, (low, high) in published:
        found = core_cycles(sequence)
        assert found.least <= low <= high <= found.most


@settings(max_examples=200, deadline=None)
@given(
    core=st.sampled_from(sorted(TIMINGS)), words=st.integers(0, 50), taken=st.integers(0, 50),
    kinds=st.dictionaries(st.sampled_from((LOAD, STORE, MAC, MULTIPLY, DIVIDE, BRANCH, OTHER)), st.integers(0, 99)),
)  # fmt: skip
def test_ranges_are_ranges_and_grow_with_what_is_done(core, words, taken, kinds):
    taken = min(taken, kinds.get(BRANCH, 0))
    of = Mix(core, Counter({**kinds, MOVES: words // 2}), 2 * (words // 2), 0, taken)
    more = Mix(core, of.kinds + Counter({OTHER: 7}), of.words, 0, of.taken)
    found, larger = core_cycles(of), core_cycles(more)
    assert 0 <= found.least <= found.most
    assert found.least <= larger.least
    assert found.most <= larger.most
    if core in ("M4F", "M33"):
        assert found.least >= of.instructions


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=80), st.sampled_from((1, 2, 4)), st.sampled_from((1, 3)))
def test_a_cache_misses_what_it_has_not_seen_lately(addresses, sets, ways):
    trace = np.array([(a, 4, a % 2) for a in addresses], np.int64).reshape(-1, 3)
    of = Mix("M4F", Counter(), 0, 0, 0, trace=trace)
    held: dict[int, list[int]] = {s: [] for s in range(sets)}
    expected = 0
    for address in addresses:
        for line in sorted({address // 16, (address + 3) // 16}):
            row = held[line % sets]
            expected += line not in row
            held[line % sets] = [*(x for x in row if x != line), line][-ways:]
    assert of.misses(Cache(sets, ways, 16), None) == expected
    assert of.misses(Cache(1, 1 << 20, 16), None) == len({x for a in addresses for x in (a // 16, (a + 3) // 16)})
    assert of.misses(Cache(sets, ways, 16), Cache(sets, ways, 16)) <= of.lines(16) + len(addresses)


@pytest.fixture(scope="module")
def hop():
    firmware = firmware_sources(load_integers("band"), 25, design(64, 19))
    counts = (2**18 + np.rint(2000 * np.sin(np.arange(64) / 9))).astype(np.int32)
    return firmware, counts


def test_the_classes_add_up_to_what_is_counted_otherwise(hop):
    firmware, counts = hop
    found = mix_of_hop(firmware, CORES[0], counts)
    runtime = FirmwareStep(firmware, CORES[0], count=True)
    runtime.device.push(counts)
    runtime.machine.by_function.clear()
    runtime.device.push(counts)
    assert found.instructions == runtime.machine.instructions
    assert found.instructions < core_cycles(found).least < core_cycles(found).most < 3 * found.instructions
    # Two products a SMLAD: the student's own sums, a few of them by other instructions.
    macs = firmware_macs(firmware)
    assert 0.4 < found.kinds[MAC] / macs < 0.7
    assert found.flash * 4 > 0.9 * weight_bytes(firmware)
    slow, fast = (Flash(w, 8, Cache(1, 32, 8), Cache(1, 8, 8), "") for w in (5, 0))
    a, b = part_cycles(found, slow), part_cycles(found, fast)
    assert a.least == b.least
    assert b.most < a.most < a.uncached
    assert part_cycles(found, None).most is None


def firmware_macs(firmware) -> int:
    return int(re.search(r"([\d,]+) MAC", firmware.files["onwrist_model.h"])[1].replace(",", ""))


def weight_bytes(firmware) -> int:
    words = re.findall(r"uint32_t op\d+_w\[(\d+)\]", firmware.files["onwrist_model.c"].replace("#if OW_HELIUM", ""))
    # Convolutions stand twice, packed for vectors and for words.
    return 4 * sum(map(int, words)) // 2


@pytest.mark.skipif(bool(absent()), reason=absent() or "QEMU is here")
def test_vectors_are_counted_one_by_one_and_bound_the_cycles(hop):
    found = mix_of_hop(hop[0], M55, hop[1])
    assert found.kinds[V_MAC] > 1000
    assert found.kinds[V_LOAD] > found.kinds[V_STORE] > 0
    assert core_cycles(found).least >= 2 * found.kinds[V_LOAD]
    assert "unknown" in mix_cells("band", found)


def test_a_part_says_instructions_cycles_time_and_energy_apart_and_unknown_stays_unknown():
    memory = SimpleNamespace(step=1000, front_end_tables=10, ram=1000)
    deployed = SimpleNamespace(memory=memory, config=WatchConfig(), artifacts=SimpleNamespace(size="watch"))
    of = mix("M4F", load=1000, other=9000)
    by_name = {p.name: cost(p, deployed, {"M4F": of}) for p in PARTS}
    known, power, core = by_name["STM32WB55"], by_name["STM32L4R5"], by_name["STM32U385"]
    assert known.instructions == 10_000
    assert known.cycles.least == 10_000
    assert known.joules is None
    assert core.instructions is None
    assert core.cycles is None
    assert "M33 was not counted" in core.source
    assert cells(core).count("unknown") >= 5
    assert power.power_source != power.source
