"""What every test folder shares: the switch that rewrites golden files (`make golden`)."""

from __future__ import annotations


def pytest_addoption(parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="rewrite the golden files instead of comparing")
