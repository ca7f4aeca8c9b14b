"""What the chart says of upgrades; here by itself, so that the command line can name it without loading a client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Policy = Literal["Automatic", "OnSpecChange"]
UPGRADE_POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Terms:
    """`most`: routers and models that are upgraded at a time. `policy` OnSpecChange: none before it is edited."""

    most: int = 5
    policy: Policy = "Automatic"
