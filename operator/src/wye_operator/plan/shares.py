"""Shares of traffic: whole hundredths of a percent inside, percent where people read and write them."""

from __future__ import annotations

from collections.abc import Mapping

from wye_operator.plan.record import UNAVAILABLE

WHOLE = 10_000

Shares = Mapping[str, int]


def hundredths(percents: Mapping[str, float] | None) -> dict[str, int]:
    """Percentages as whole hundredths, without the zeros."""
    shares = {name: round(percent * 100) for name, percent in (percents or {}).items()}
    return {name: share for name, share in sorted(shares.items()) if share}


def scaled(shares: Shares) -> dict[str, int]:
    """Shares in the same proportion that add up to the whole (largest remainder; ties by name)."""
    total = sum(shares.values())
    if not total:
        return {}
    whole = {name: share * WHOLE // total for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-(shares[name] * WHOLE % total), name))
    for name in by_remainder[: WHOLE - sum(whole.values())]:
        whole[name] += 1
    return {name: share for name, share in sorted(whole.items()) if share}


def percents(shares: Mapping[str, int]) -> dict[str, float]:
    """Hundredths as percent, as status shows them."""
    return {name: share / 100 for name, share in shares.items() if name != UNAVAILABLE}


def shares_text(shares: Mapping[str, int]) -> str:
    """`blue=90 green=10`: largest first, then by name."""
    ordered = sorted(percents(shares).items(), key=lambda item: (-item[1], item[0]))
    return " ".join(f"{name}={share:g}" for name, share in ordered)
