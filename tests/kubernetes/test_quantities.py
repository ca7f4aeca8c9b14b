"""Quantities as an API server writes them back."""

from __future__ import annotations

import pytest

from wye_operator.render.kubernetes.quantities import canonical_quantity, cores


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1", "1"),
        (1, "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("0.0005", "500u"),
        ("1500u", "1500u"),
        (0, "0"),
        ("0Mi", "0"),
        ("2000", "2k"),
        ("1000k", "1M"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Mi", "1000Mi"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("1G", "1G"),
        ("1048576", "1048576"),
    ],
)
def test_canonical(written: str | int, kept: str) -> None:
    assert canonical_quantity(written) == kept


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, None),
        ({"requests": {"memory": "1Gi"}}, None),
        ({"requests": {"cpu": "100m"}}, 1),
        ({"requests": {"cpu": "100m"}, "limits": {"cpu": "2500m"}}, 3),
        ({"requests": {"cpu": 2}, "limits": {"memory": "1Gi"}}, 2),
    ],
)
def test_threads_are_the_processors_it_may_count_on(resources: dict[str, dict[str, str]], expected: int | None) -> None:
    assert cores(resources) == expected
