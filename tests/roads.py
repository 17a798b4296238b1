"""What every road to a bundle is held to: the same bytes in TFLM, numpy and the C, here and on emulated cores."""


def exact_everywhere(run: dict, bytes_a_hop: int) -> None:
    """A run of a bundle's report.

    Args:
        bytes_a_hop: of front end, embedding and all that is answered.
    """
    firmware = {f["name"]: f for f in run["firmware"]}
    assert any("M4F" in name for name in firmware)
    assert all(f["wrong"] == 0 and f["bytes"] == f["hops"] * bytes_a_hop > 0 for f in firmware.values())
    exact = {r["runtime"]: r["equal"] for r in run["runtimes"]}
    assert {exact[n] for n in ("TFLM, stream", "TFLM", "numpy model", "numpy model, stream")} == {1.0}
