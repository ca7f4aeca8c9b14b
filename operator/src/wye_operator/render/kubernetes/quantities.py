"""Quantities as the API server writes them back, so that what is wanted and what is there can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from wye_operator.api.pod import BINARY, FACTORS, amount

LEAST_BINARY = 1024


def canonical_quantity(quantity: str | int) -> str:
    """Without fractions and with the largest suffix: `1000m` is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`."""
    number = amount(quantity)
    if any(str(quantity).endswith(suffix) for suffix in BINARY) and number >= LEAST_BINARY:
        return _binary(math.ceil(number))
    return _decimal(number)


def canonical_resources(resources: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Requests and limits in that form."""
    return {part: {k: canonical_quantity(v) for k, v in sorted(given.items())} for part, given in resources.items()}


def cores(resources: Mapping[str, Any]) -> int | None:
    """The processors a container may count on: its limit, else its request, rounded up."""
    for part in ("limits", "requests"):
        given = resources.get(part, {})
        if "cpu" in given:
            return max(1, math.ceil(amount(given["cpu"])))
    return None


def _binary(number: int) -> str:
    fits = [(power, suffix) for suffix, power in BINARY.items() if number % 2**power == 0]
    power, suffix = max(fits, default=(0, ""))
    return f"{number >> power}{suffix}"


def _decimal(number: Decimal) -> str:
    if not number:
        return "0"
    scaled = [(power, suffix, number.scaleb(-power)) for suffix, power in FACTORS.items()]
    whole = [(power, suffix, value) for power, suffix, value in scaled if value == value.to_integral_value()]
    _, suffix, value = max(whole, default=(-9, "n", Decimal(math.ceil(number.scaleb(9)))))
    return f"{int(value)}{suffix}"
