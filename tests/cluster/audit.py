"""What service accounts asked of the API server, and what a role grants: the two lists are compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WRITES = ("create", "update", "patch", "delete")


@dataclass(frozen=True, order=True)
class Permission:
    """One verb on one resource, or on a path that is none; a subresource stands in it as in a role: `pods/log`."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


@dataclass(frozen=True)
class Asked:
    """One request: by whom, when (RFC 3339), for what, how it ended, and whether the roles allowed it."""

    who: str
    at: str
    namespace: str
    name: str
    permission: Permission
    code: int
    allowed: bool

    @property
    def needs(self) -> tuple[Permission, ...]:
        """What it takes: a patch that made its object (201, server-side apply) was asked for `create` too."""
        made = self.permission.verb == "patch" and self.code == 201
        return (self.permission, *([Permission(*self._what, "create")] if made else []))

    @property
    def _what(self) -> tuple[str, str]:
        return self.permission.group, self.permission.resource

    @property
    def is_write(self) -> bool:
        """Whether it changes anything of the cluster's; the renewed Lease apart."""
        return self.permission.verb in WRITES and self.permission.resource != "leases"


def asked(log: Path, account: str, since: str = "") -> Iterator[Asked]:
    """What one account (`namespace:name`) asked since then; a line that is being written is left out."""
    who = f"system:serviceaccount:{account}"
    with log.open() as lines:
        for line in lines:
            if line.endswith("\n") and who in line:
                event = json.loads(line)
                if event["user"]["username"] == who and event["requestReceivedTimestamp"] >= since:
                    yield _asked(event)


def _asked(event: Mapping[str, Any]) -> Asked:
    what = event.get("objectRef") or {}
    path = event["requestURI"].partition("?")[0]
    resource = "/".join(filter(None, (what.get("resource"), what.get("subresource")))) or path
    return Asked(
        who=event["user"]["username"],
        at=event["requestReceivedTimestamp"],
        namespace=what.get("namespace", ""),
        name=what.get("name", ""),
        permission=Permission(what.get("apiGroup", ""), resource, event["verb"]),
        code=event.get("responseStatus", {}).get("code", 0),
        allowed=event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid",
    )


def now() -> str:
    """The time, as the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def granted(roles: Iterable[Mapping[str, Any]]) -> set[Permission]:
    """Everything that roles grant: what is no resource, such as `/version`, stands in it by its path."""
    return {
        Permission(group, what, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule.get("apiGroups", [""])
        for what in [*rule.get("resources", ()), *rule.get("nonResourceURLs", ())]
        for verb in rule["verbs"]
    }
