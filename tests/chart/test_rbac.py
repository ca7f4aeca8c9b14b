"""The chart's permissions against the operator's own lists of kinds: neither side grows without the other."""

import pytest

from wye_operator.cluster import apply, identity, kinds
from wye_operator.cluster.kinds import Kind

LOOK = {"list", "watch"}
EXPECTED: dict[Kind, set[str]] = {
    **dict.fromkeys(kinds.OURS, {"get", *LOOK}),  # a GET by name before anything is called gone
    **dict.fromkeys((*kinds.FOLLOWED, *kinds.OPTIONAL), {"get", *LOOK, "create", "patch", "delete"}),
    kinds.WORKLOADS: {"get", *LOOK, "create", "patch", "delete"},
    kinds.PODS: {*LOOK, "patch", "delete"},  # bumped, and replaced where hopeless; never made
    kinds.SLICES: LOOK,  # made by the cluster
    kinds.SECRETS: {"get", "create", "patch"},  # no list; they go with their owners
    kinds.EVENTS: {"create"},
    kinds.LEASES: {"get", "create", "update"},
}
PARTS = {
    ("wye.dev", "mlendpoints/status"): {"patch"},
    ("wye.dev", "mldeployments/status"): {"patch"},
    ("", "pods/log"): {"get"},
}
WHOLE_CLUSTER = {
    ("apiextensions.k8s.io", "customresourcedefinitions"): LOOK,
    ("", identity.DISCOVERY): {"get"},  # in one namespace Kubernetes' own role for every service account has to do
    ("", identity.KEYS): {"get"},
}


def granted(objects: list[dict]) -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource, over the operator's own roles."""
    found: dict[tuple[str, str], set[str]] = {}
    for role in objects:
        if role["kind"] in ("Role", "ClusterRole") and not role["metadata"]["name"].endswith(("-edit", "-view")):
            for rule in role["rules"]:
                for resource in rule.get("resources", ()):
                    found.setdefault((rule["apiGroups"][0], resource), set()).update(rule["verbs"])
                for path in rule.get("nonResourceURLs", ()):
                    found.setdefault(("", path), set()).update(rule["verbs"])
    return found


@pytest.mark.parametrize("watch", [False, True], ids=["Secrets by name", "Secrets watched"])
@pytest.mark.parametrize("scope", [(), ("--set", "namespace=team-a")], ids=["all namespaces", "one"])
def test_the_role_is_what_the_operator_does(helm, scope, watch) -> None:
    wanted = {(kind.group, kind.plural): set(verbs) for kind, verbs in EXPECTED.items()} | PARTS
    wanted["", "secrets"] |= LOOK if watch else set()
    found = granted(helm.objects(*scope, "--set", f"secrets.watch={str(watch).lower()}"))
    assert found == wanted | ({} if scope else WHOLE_CLUSTER)


def test_every_kind_is_in_the_table() -> None:
    assert set(EXPECTED) == set(kinds.KINDS)
    assert all("delete" in EXPECTED[kind] for kind in apply.REMOVABLE)
    assert all(EXPECTED[kind] >= LOOK for kind in (*kinds.WATCHED, *kinds.FOLLOWED))
