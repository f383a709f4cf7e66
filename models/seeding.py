"""Seeds of single rows, derived from a run's seed by hashing, so that a row's sample never depends on its batch."""

from hashlib import sha256


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any printable parts, e.g. `derive_seed(seed, "responses", "A", query_id)`."""
    digest = sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def uniform(*parts: object) -> float:
    """A number in [0, 1) from any printable parts; used for splits that must not depend on row order."""
    return derive_seed(*parts) / 2**63
