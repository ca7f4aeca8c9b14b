"""Every mistake in a folder has file, line, field and a sentence."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from api.texts import DEPLOYMENT, ENDPOINT, mistakes
from wye_operator.local.manifests import AZURES


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        pytest.param(
            ENDPOINT.replace("90", "ninety"),
            6,
            "spec.traffic.blue",
            "is 'ninety' (a string); must be a number from 0 to 100",
            id="the line is that of the value",
        ),
        pytest.param(
            ENDPOINT.replace("90", "80"),
            5,
            "spec.traffic",
            "adds up to 90; it must be 100, or 0 for no live traffic",
            id="the line of a map is that of its key",
        ),
        pytest.param(
            DEPLOYMENT.replace("  endpointName: fraud\n", ""),
            4,
            "spec.endpointName",
            "is required: the Endpoint it stands behind, in the same namespace",
            id="what is missing is missing in the line of what it belongs to",
        ),
        pytest.param(
            ENDPOINT + "    blue: 0\n",
            8,
            "spec.traffic.blue",
            "stands twice in one map; the first is in line 6",
            id="a key that stands twice",
        ),
        pytest.param(
            ENDPOINT.replace("blue:", "7:"),
            6,
            "spec.traffic",
            "has a key that is a number; put it in quotes",
            id="a key that is a number",
        ),
        pytest.param(
            ENDPOINT.replace("blue:", "yes:"),
            6,
            "spec.traffic",
            "has a key that is a boolean; put it in quotes",
            id="a key that YAML reads as a boolean",
        ),
        pytest.param(
            ENDPOINT.replace("    green", "\tgreen"),
            7,
            "",
            "has a tab where YAML wants spaces; indent with spaces",
            id="a tab",
        ),
        pytest.param(
            ENDPOINT.replace("blue: 90", "blue: 90: 10"),
            6,
            "",
            "has a second ': ' or wrong indentation; put a text with ': ' in quotes",
            id="a second colon",
        ),
        pytest.param(
            ENDPOINT.replace("{name: fraud}", "{name: fraud"),
            3,
            "",
            "opens a bracket that is not closed, or a ',' is missing in it",
            id="a bracket that is not closed",
        ),
        pytest.param(
            ENDPOINT.replace("name: fraud", "name: 'fraud"),
            3,
            "",
            "opens a quote that is not closed",
            id="a quote that is not closed",
        ),
        pytest.param(
            ENDPOINT.replace("90", ".nan"),
            6,
            "spec.traffic.blue",
            "is not a finite number; JSON, and so Kubernetes, has none other",
            id="a number that is none",
        ),
        pytest.param(
            ENDPOINT.replace("90", "!percent 90"),
            6,
            "spec.traffic.blue",
            "has a tag (!) that does not fit; remove it, or put it in quotes",
            id="a tag of the user's own",
        ),
        pytest.param(
            ENDPOINT.replace("90", "*blue"),
            6,
            "spec.traffic.blue",
            "begins with *, an alias, and nothing above has its anchor (&); put a text in quotes",
            id="an alias of nothing",
        ),
        pytest.param(
            ENDPOINT.replace("traffic:", "traffic: &t").replace("90", "*t"),
            6,
            "spec.traffic.blue",
            "is an alias (*) of a value that it stands in itself",
            id="an alias of what it stands in",
        ),
        pytest.param(
            ENDPOINT.replace("90", "\x07"),
            6,
            "",
            "has the control character U+0007, which YAML does not allow",
            id="a control character",
        ),
        pytest.param(
            "spec: " + "[" * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 brackets",
        ),
        pytest.param(
            "{a: " * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 braces",
        ),
        pytest.param(
            "- " * 100_000,
            1,
            "",
            "is nested more than 100 levels deep",
            id="100,000 dashes",
        ),
        pytest.param(
            "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n"
            + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi")),
            5,
            "",
            "its aliases (*) unfold into more than 100,000 values",
            id="a billion laughs",
        ),
        pytest.param("- a\n- b\n", 1, "", "is not a map with apiVersion, kind, metadata and spec", id="a list"),
        pytest.param("name: fraud\n", 1, "", "is no manifest: it has neither apiVersion nor kind", id="no manifest"),
        pytest.param("endpoint_name: fraud\ninstance_count: 1\n", 1, "", AZURES, id="Azure's deployment"),
        pytest.param("$schema: https://azuremlschemas.azureedge.net/x.json\n", 1, "", AZURES, id="Azure's schema"),
        pytest.param("apiVersion: v1\n", 1, "kind", "is required in every manifest", id="no kind"),
        pytest.param("kind: ConfigMap\n", 1, "apiVersion", "is required in every manifest", id="no apiVersion"),
        pytest.param(
            "apiVersion: v1\nkind: List\n", 1, "items", "must be a list of objects", id="a List without items"
        ),
    ],
)
def test_mistakes_have_line_and_field(text: str, line: int, field: str, message: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=text) == [(line, field, message)]


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    said = mistakes(tmp_path, a__yaml=b"kind: Endpoint\nname: caf\xe9\n")
    assert said == [(2, "", "is not UTF-8 text; save the file as UTF-8")]


def test_a_slip_in_the_group_is_not_passed_over(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=ENDPOINT.replace("wye.dev/v1alpha1", "wye/v1")) == [
        (1, "apiVersion", "is 'wye/v1'; must be wye.dev/v1alpha1")
    ]


def test_two_objects_of_one_name_are_told_with_both_places(tmp_path: Path) -> None:
    assert mistakes(tmp_path, a__yaml=ENDPOINT, b__yaml=DEPLOYMENT + "---\n" + ENDPOINT) == [
        (11, "metadata.name", f"is a second Endpoint named fraud; the first stands in {tmp_path}/a.yaml:3")
    ]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert mistakes(tmp_path) == [(0, "", "is not a regular file")]


def test_a_link_that_leads_nowhere_or_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "b.yaml").symlink_to("b.yaml")
    assert mistakes(tmp_path) == [(0, "", "is not a regular file"), (0, "", "is not a regular file")]
