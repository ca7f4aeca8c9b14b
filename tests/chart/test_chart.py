"""What the chart renders: golden files, the operator's real command line, and rules that every rendering keeps."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from wye_operator.cli.main import parser
from wye_operator.cluster.operator import lease_name

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/wye"
CASES = sorted(each.parent for each in Path(__file__).parent.glob("cases/*/values.yaml"))
NOT_OF_THE_CHART = {"help", "port", "workers", "operator_namespace"}  # the pod's own, or nobody's business
WRITES = {"create", "update", "patch", "delete"}


def named(case: Path) -> str:
    return case.name


def values_of(case: Path) -> list[str]:
    return ["-f", str(case / "values.yaml")]


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [each for each in objects if each["kind"] in kinds]


def operator_arguments(objects: list[dict]) -> list[str]:
    (deployment,) = of_kind(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_golden(helm, case, request) -> None:
    """Without the CRDs, which have tests of their own and are 1,600 lines."""
    rendered = helm.template(*values_of(case), "--set", "crds.install=false")
    if request.config.getoption("rewrite"):
        (case / "out.yaml").write_text(rendered)
    assert rendered == (case / "out.yaml").read_text(), "read the difference; make golden rewrites"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_operator_understands_its_command_line(helm, case) -> None:
    given = parser().parse_args(operator_arguments(helm.objects(*values_of(case))))
    values = yaml.safe_load((case / "values.yaml").read_text())
    assert given.namespace == values.get("namespace")
    assert given.no_network_policies is not values.get("networkPolicies", {}).get("enabled", True)
    upgrade = {"maxConcurrent": 5, "policy": "Automatic"} | values.get("upgrade", {})
    assert (given.upgrade_max_concurrent, given.upgrade_policy) == (upgrade["maxConcurrent"], upgrade["policy"])
    assert given.watch_secrets is values.get("secrets", {}).get("watch", False)
    assert given.no_failure_log is not values.get("failureLog", True)
    assert given.image_volumes is values.get("imageVolumes", False)
    assert list(given.metrics_from) == values.get("networkPolicies", {}).get("metricsFrom", [])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_role_names_the_lease_that_the_operator_takes(helm, case) -> None:
    objects = helm.objects(*values_of(case))
    given = parser().parse_args(operator_arguments(objects))
    (rule,) = [rule for rule in rules_of(objects, "Role") if rule["resources"] == ["leases"] and "get" in rule["verbs"]]
    assert rule["resourceNames"] == [lease_name(given.namespace)]


def test_every_option_of_the_operator_is_a_value(helm) -> None:
    """An option that no rendering uses cannot be set by whoever installs the chart."""
    commands = next(each for each in parser()._actions if each.choices and "operator" in each.choices)
    options = {
        each.dest: each.option_strings[0] for each in commands.choices["operator"]._actions if each.option_strings
    }
    used = {word.partition("=")[0] for case in CASES for word in operator_arguments(helm.objects(*values_of(case)))}
    assert {dest for dest, option in options.items() if option not in used} == NOT_OF_THE_CHART


def test_what_no_value_says_is_the_operators_default(helm) -> None:
    """Whoever reads the chart and whoever reads `wye operator --help` are told the same."""
    images = ["--runtime-image=r", "--router-image=e", "--router-user=101"]
    alone, charts = (
        parser().parse_args(words) for words in (["operator", *images], operator_arguments(helm.objects()))
    )
    said = vars(charts).keys() - {"runtime_image", "router_image"}
    assert {name: vars(charts)[name] for name in said} == {name: vars(alone)[name] for name in said}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_pods_are_restricted(helm, case) -> None:
    for owner in of_kind(helm.objects(*values_of(case)), "Deployment", "Pod"):
        pod = owner["spec"]["template"]["spec"] if owner["kind"] == "Deployment" else owner["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "cpu" not in container["resources"]["limits"]


def rules_of(objects: list[dict], *kinds: str) -> list[dict]:
    people = ("-edit", "-view")
    roles = [each for each in of_kind(objects, *kinds) if not each["metadata"]["name"].endswith(people)]
    return [rule for role in roles for rule in role["rules"]]


def test_permissions_are_no_wider_than_needed(helm) -> None:
    rules = rules_of(helm.objects(), "ClusterRole", "Role")
    for rule in rules:
        if "nonResourceURLs" in rule:  # pages of the API server, to read
            assert rule["verbs"] == ["get"]
            continue
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        if "secrets" in rule["resources"]:
            assert not {"list", "watch"} & set(rule["verbs"])
        if rule["apiGroups"] == ["wye.dev"]:
            writes = WRITES & set(rule["verbs"])
            assert not writes or all(each.endswith("/status") for each in rule["resources"])


def test_one_namespace_needs_nothing_of_the_cluster(helm) -> None:
    objects = helm.objects("--set", "namespace=team-a,crds.install=false")
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition") == []
    assert {each["metadata"]["namespace"] for each in of_kind(objects, "Role")} == {"team-a", "wye-system"}


def test_two_replicas_have_a_budget_and_one_has_none(helm) -> None:
    assert of_kind(helm.objects(), "PodDisruptionBudget") == []
    (budget,) = of_kind(helm.objects("--set", "replicas=2"), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_definitions_stay_when_the_release_goes(helm) -> None:
    made = of_kind(helm.objects(), "CustomResourceDefinition")
    source = [yaml.safe_load(each.read_text()) for each in sorted((ROOT / "crds").glob("*.yaml"))]
    assert [each["metadata"].pop("annotations")["helm.sh/resource-policy"] for each in made] == ["keep"] * len(source)
    for each in source:
        each["metadata"].pop("annotations", None)
    assert sorted(made, key=str) == sorted(source, key=str)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replcas=2", "replcas"),
        ("replicas=two", "replicas"),
        ("images.pullPolicy=Sometimes", "pullPolicy"),
        ("images.registry=", "registry"),
        ("namespace=1", "namespace"),
    ],
)
def test_wrong_values_are_refused_by_name(helm, setting, said) -> None:
    with pytest.raises(ValueError, match=said):
        helm.template("--set", setting)


def test_a_large_user_stays_a_whole_number(helm) -> None:
    """OpenShift's uids; YAML's numbers become floats in helm."""
    assert "--router-user=1000680000" in operator_arguments(helm.objects("--set", "images.routerUser=1000680000"))


def test_names_follow_the_release(helm) -> None:
    (deployment,) = of_kind(helm.objects(release="team"), "Deployment")
    assert deployment["metadata"]["name"] == "team-wye"


def paths(values: dict, inner: dict, before: str = "") -> set[str]:
    """The leaves of values.yaml as the schema has them."""
    found = set()
    for name, value in values.items():
        schema = inner["properties"][name]
        found |= paths(value, schema, f"{before}{name}.") if "properties" in schema else {before + name}
    return found


def leaves(schema: dict, before: str = "") -> set[str]:
    properties = schema["properties"].items()
    return {p for n, s in properties for p in (leaves(s, f"{before}{n}.") if "properties" in s else {before + n})}


def test_values_and_schema_have_the_same_names() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert paths(values, schema) | {"global"} == leaves(schema)


def test_every_value_is_used() -> None:
    templates = "".join(each.read_text() for each in CHART.rglob("templates/**/*") if each.is_file())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert [each for each in sorted(paths(values, schema)) if f".Values.{each}" not in templates] == []


def test_generated_files_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "charts")
    spec = importlib.util.spec_from_file_location("make", ROOT / "charts/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert [path.name for path, text in module.files().items() if path.read_text() != text] == [], "run: make gen"


def test_lint(helm) -> None:
    done = subprocess.run([helm.path, "lint", "--strict", str(CHART)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
