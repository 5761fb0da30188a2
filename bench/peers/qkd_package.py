"""`qkd_package.py cascade QBER BITS FRAMES SEED` or `... pulses PULSES SEED`: run by a Python that has the peer `qkd`.

Prints one JSON object. The peer draws its frames inside of what is timed: its interface leaves no choice.
"""

import importlib
import json
import sys
import time


def cascade(qber: str, bits: str, frames: str, seed: str) -> dict[str, float]:
    """Correct frames by the peer's best variant."""
    module = importlib.import_module("qkd.reconcile")
    begin = time.process_time()
    leak, wrong = module.run_cascade(
        float(qber), frames=int(frames), seed=int(seed), cfg=module.Cascade(frame=int(bits))
    )
    return {"seconds": time.process_time() - begin, "parities": leak * int(frames), "wrong": wrong}


def pulses(count: str, seed: str) -> dict[str, float]:
    """Draw pulses of decoy-state BB84 on 50 km: the same link as ours, as far as the peer's interface goes."""
    core = importlib.import_module("qkd._core")
    begin = time.process_time()
    link = ((0.5, 0.1, 0.001), (0.7, 0.2, 0.1), 0.1, 0.1, 1e-6, 0.01, 0.82, 0, 0.1, 1e-6)
    made = core.run_basis(int(count), int(seed), *link)
    return {"seconds": time.process_time() - begin, "clicks": sum(made.clicks)}


if __name__ == "__main__":
    print(json.dumps(cascade(*sys.argv[2:]) if sys.argv[1] == "cascade" else pulses(*sys.argv[2:])))
