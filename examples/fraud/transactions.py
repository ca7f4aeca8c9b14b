"""Makes card transactions with a known rule for fraud: train.py learns from them, demo.py sends them.

Nobody's data: every row is drawn from a seeded generator, and the same seed gives the same rows.

* One in eight card holders is on a journey: the purchase is some hundred kilometres from home
  instead of a few, and often far from the purchase before it.
* The price is a log-normal multiple of the card's median purchase.
* People return to shops near home, seldom to shops far away. A third of the orders is online, where
  nobody puts in a chip or types a PIN; in a shop the chip is read in 70 %, and then a PIN asked for
  in 40 %.
* Risk adds up: a price far above the usual one, an online order, a jump since the last purchase,
  distance from home; a PIN takes most of it away, a chip and a known shop some; expensive *and*
  online is worse than the two alone. The risk makes a probability and the label is drawn from it,
  so no model can be right every time. About 9 % of the rows are fraud.
"""

from __future__ import annotations

import numpy as np

FIELDS = (
    "distance_from_home",
    "distance_from_last_transaction",
    "ratio_to_median_purchase_price",
    "repeat_retailer",
    "used_chip",
    "used_pin_number",
    "online_order",
)
BOOLEANS = FIELDS[3:]
FARTHEST_KM = 20_000  # half way round the earth; the contract's maximum


def transactions(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of FIELDS as float32 [count, 7], and 1 where the row is fraud."""
    draw = np.random.default_rng(seed)
    home, last = distances(draw, count)
    ratio = draw.lognormal(np.log(1.1), 0.9, count)
    repeat = draw.random(count) < np.where(home < 50, 0.92, 0.45)
    online = draw.random(count) < 0.34
    chip = ~online & (draw.random(count) < 0.70)
    pin = chip & (draw.random(count) < 0.40)
    numbers = np.stack([home, last, ratio], axis=1).round(2).clip(0, FARTHEST_KM)
    rows = np.column_stack([numbers, repeat, chip, pin, online])
    return rows.astype(np.float32), (draw.random(count) < fraud_chance(rows)).astype(np.int64)


def distances(draw: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Kilometres from home and from the last purchase."""
    journey = draw.random(count) < 0.125
    jump = journey & (draw.random(count) < 0.6)
    home = draw.lognormal(np.where(journey, np.log(300), np.log(6)), np.where(journey, 1.2, 1.0))
    last = draw.lognormal(np.where(jump, np.log(200), np.log(1.5)), np.where(jump, 1.2, 1.1))
    return home, last


def fraud_chance(rows: np.ndarray) -> np.ndarray:
    """The rule: the probability that a row is fraud."""
    home, last, ratio, repeat, chip, pin, online = rows.T
    expensive = 1 / (1 + np.exp(-3.0 * (ratio - 3.2)))
    risk = 3.4 * expensive + 3.6 * expensive * online + 1.1 * online
    risk += 2.6 * (home > 100) + 0.35 * np.log1p(last)
    risk -= 3.5 * pin + 0.9 * chip + 0.7 * repeat
    return 1 / (1 + np.exp(-1.6 * (risk - 3.9)))


def as_request(row: np.ndarray) -> dict[str, object]:
    """One row as a body of /score: booleans as booleans, numbers with two decimals."""
    return {
        name: bool(value) if name in BOOLEANS else round(float(value), 2)
        for name, value in zip(FIELDS, row, strict=True)
    }
