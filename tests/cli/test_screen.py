"""What `wye top` draws: as much as fits into a terminal, and on a pipe what is wrong once."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from wye_operator.cli.loads import HEAD, Row, cells
from wye_operator.cli.screen import Lines, Picture, drawn

NOBODY = "there is no Endpoint in namespace team; -A looks in all (context dev)"
SILENT = [f"pod team/fraud-model-{n} cannot be asked, its figures are missing: Connection refused" for n in range(5)]


def row(deployment: str, traffic: str = "live") -> Row:
    shares = (None, None) if not deployment else (12.5, 50.0)
    return Row("team", "fraud", deployment, traffic, *shares, 2, 2, 1234.5, 0.0123, 12.3, 4567.8, 120, 44, 3.3)


def picture(deployments: int, silent: int = 0, *, measured: bool = True) -> Picture:
    names = ["", *(f"a-deployment-with-a-long-name-{n}" for n in range(deployments))]
    lines = [*cells([row(name) for name in names if deployments], spaced=False)]
    return Picture("wye top: 9 pods, the last 10 s; Ctrl-C ends it", lines, SILENT[:silent], measured, NOBODY)


def shown(of: Picture, width: int, height: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=False).print(drawn(of, width, height))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("silent", [0, 2, 5])
@pytest.mark.parametrize("deployments", [0, 1, 18, 40])
def test_it_fits_and_no_number_is_cut(width: int, silent: int, deployments: int) -> None:
    lines = shown(picture(deployments, silent), width, 24)
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    table = [line for line in lines if line.rstrip().endswith("3.3")]
    assert all(line.split()[-8:] == ["2/2", "1,234", "1.23%", "12.3", "4,568", "120", "44", "3.3"] for line in table)
    told = sum(int(line.split()[0]) for line in lines if " more lines: " in line)
    assert len(table) + told == (deployments + 1 if deployments else 0)
    assert sum("cannot be asked" in line for line in lines) == min(silent, 4)


def test_where_nothing_is_it_says_so() -> None:
    assert shown(picture(0), 80, 24)[-1] == NOBODY


def test_on_a_pipe_what_is_wrong_is_said_once(capsys) -> None:
    lines = Lines()
    for each in (picture(1, 1, measured=False), picture(1, 1), picture(1, 2), picture(1), picture(1, 1)):
        lines.show(each)
    lines.fail("the API server does not answer; asking again")
    lines.fail("the API server does not answer; asking again")
    said = capsys.readouterr().out.splitlines()
    assert sum(line.split()[:1] == [HEAD[0]] for line in said) == 4
    assert [line for line in said if line in SILENT] == [SILENT[0], SILENT[1], SILENT[0]]
    assert sum("asking again" in line for line in said) == 1


def test_on_a_pipe_where_nothing_is_it_says_so_once(capsys) -> None:
    lines = Lines()
    for each in (picture(0, measured=False), picture(0), picture(0), picture(1)):
        lines.show(each)
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said.count(NOBODY), said[1].split()[0]) == (NOBODY, 1, HEAD[0])


def test_in_a_narrow_terminal_heads_are_cut_before_what_stands_below() -> None:
    short = Picture("", [*cells([row(""), row("blue", "mirror")], spaced=False)], (), measured=True)
    assert "mirror 12.5% (asked 50%)" in "".join(shown(short, 94, 24))


def test_in_a_very_narrow_one_the_last_columns_go_and_names_are_still_told_apart() -> None:
    head, *_, blue = shown(picture(2), 50, 24)[2:]
    assert head.rstrip().endswith("P50 MS")
    assert blue.split()[0].startswith("a-dep")
