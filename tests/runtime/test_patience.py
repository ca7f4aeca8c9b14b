"""When runs leave the event loop: the model's doing, not a pause of the machine."""

from __future__ import annotations

import pytest

from wye_runtime.contract.reading import plainly
from wye_runtime.service.measuring import Patience

SHORT, LONG, NEVER = 1e-5, 6e-3, 0.2


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        ([SHORT] * 1000, False),
        ([LONG, *[SHORT] * 1000], False),
        ([*[LONG, *[SHORT] * 200] * 50], False),
        ([LONG] * 3, False),
        ([LONG] * 4, True),
        ([*[LONG, *[SHORT] * 10] * 10], True),
        ([SHORT, NEVER], True),
    ],
    ids=[
        "only short ones",
        "one long one",
        "a long one now and then",
        "three in a row",
        "four in a row",
        "one long one in eleven",
        "one that stops everybody",
    ],
)
def test_runs_leave_the_event_loop(seconds, over) -> None:
    patience = Patience()
    assert any([patience.is_over(each) for each in seconds]) == over


@pytest.mark.parametrize(
    ("bound", "text"), [(20040.0, "20040"), (0.1, "0.1"), (-3, "-3"), (2.0**53, "9007199254740992")]
)
def test_a_bound_is_shown_as_its_author_wrote_it(bound, text) -> None:
    assert plainly(bound) == text
