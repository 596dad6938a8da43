"""Seeds for everything random, derived from one number."""

import hashlib


def derive_seed(seed: int, *scope: str | int) -> int:
    """Derives an independent seed for one purpose.

    The same seed and scope give the same value on every machine, so that all metrics and
    weights of one seed share pairs, augmentation and initial network, while two purposes never
    share a random stream. A training derives one seed for each step from it: nothing random
    has to be stored to resume.

    Args:
        seed: The run's seed.
        scope: What the random numbers are for, such as `("hippocampus", "pairs", 3)`.

    Returns:
        An integer in [0, 2**63).
    """
    text = "/".join(str(part) for part in (seed, *scope))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
