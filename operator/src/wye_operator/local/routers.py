"""The router of one Endpoint on this machine: its files, and the Envoy that reads them.

Another bootstrap needs another process: the new one listens on the same port beside the old one (SO_REUSEPORT), and
the old one is drained once the new one has everything.
"""

from __future__ import annotations

import json
from pathlib import Path

from wye_operator.local import files
from wye_operator.local.envoys import Envoy
from wye_operator.local.inner import Inner
from wye_operator.local.instances import NOWHERE, Home
from wye_operator.plan.names import digest
from wye_operator.plan.record import Record, from_json, to_json
from wye_operator.plan.wanted import RouterPlan
from wye_operator.plan.world import Address, InForce, Refused, RouterSeen
from wye_operator.render import envoy as render
from wye_operator.render import tls
from wye_operator.render.envoy import Place
from wye_operator.render.last_good import files_in, refused_in, standing, with_last_good

IN_EFFECT = "in-effect.json"


class Router:
    """All Envoys of one Endpoint: one, or two while the bootstrap changes."""

    def __init__(self, name: str, folder: Path, listen: Address, binary: Path, home: Home) -> None:
        self.name = name
        self.listen = listen
        self.envoys: list[Envoy] = []
        self.news: list[str] = []  # deaths that nobody was told of yet
        self._routes, self._auth = folder / "routes", folder / "auth"
        self._binary, self._home = binary, home
        self._wanted: RouterPlan | None = None

    def record(self) -> Record:
        """What was in effect when it was last written; a file that is no record is as good as none."""
        try:
            data = files.read_json(self._routes / files.DATA / IN_EFFECT)
            return Record() if data is None else from_json(data)
        except (ValueError, KeyError, TypeError):
            return Record()

    def auth_files(self) -> dict[str, bytes]:
        """What the Envoys were last told of who may call."""
        return files.contents(self._auth)

    def refused(self) -> dict[str, Refused]:
        """What every Envoy refused, so that the files are what they were before it."""
        return refused_in(files.contents(self._routes)) | refused_in(files.contents(self._auth))

    def write(self, wanted: RouterPlan, record: Record, now: float) -> bool:
        """Write what the Envoys should take, and what a restart must not forget, in one step; False: nothing new."""
        self._wanted = wanted
        place = Place(str(self._routes), str(self._auth), self.listen, NOWHERE, NOWHERE)
        routers, good = self.seen(), record.acknowledged
        routes = with_last_good(render.route_files(wanted, place), files.contents(self._routes), routers, good, now)
        had = files.contents(self._auth)
        auth = with_last_good(render.auth_files(wanted, had), had, routers, good, now)
        in_effect = json.dumps(to_json(standing(record, self.record(), routes, auth)), indent=2).encode() + b"\n"
        changed = files.swap(self._routes, {**routes, IN_EFFECT: in_effect})
        changed |= files.swap(self._auth, auth, 0o600)
        if changed:
            for envoy in self.envoys:
                envoy.rejected = ""
        return changed

    @property
    def tls(self) -> InForce:
        """What its files say of TLS."""
        return tls.in_force(files.contents(self._auth))

    async def observe(self, inner: Inner, now: float) -> None:
        """Ask every Envoy what it has."""
        written = files_in({**files.contents(self._routes), **files.contents(self._auth)})
        for envoy in self.envoys:
            death = await envoy.observe(inner, now, written)
            self.news += [death] if death else []
            if self._wanted is not None and envoy.has(self._wanted):  # its log may have told of what came before
                envoy.rejected = ""
        self.envoys = [e for e in self.envoys if e.process is not None or e.draining_since is None]

    async def step(self, inner: Inner, now: float) -> None:
        """Keep one Envoy of the wanted bootstrap; let older ones go once it has everything."""
        wanted = self._wanted
        if wanted is None:
            return
        newest = self._newest(wanted)
        if newest.process is None and newest.back_off.not_before <= now:
            await newest.start()
        for older in [e for e in self.envoys if e is not newest]:
            if newest.has(wanted) or older.draining_since is not None or older.ready_since is None:
                await older.drain(inner, now)
            elif older.process is None and older.back_off.not_before <= now:
                await older.start()
        self.envoys = [e for e in self.envoys if e.process is not None or e.draining_since is None]

    def _newest(self, wanted: RouterPlan) -> Envoy:
        place = Place(str(self._routes), str(self._auth), self.listen, NOWHERE, NOWHERE)
        identity = digest(render.bootstrap(wanted, place).decode())
        staying = [e for e in self.envoys if e.draining_since is None]
        if not staying or staying[-1].identity != identity:
            self.envoys.append(self._envoy(identity, wanted))
        return self.envoys[-1]

    def _envoy(self, identity: str, wanted: RouterPlan) -> Envoy:
        taken = {e.name for e in self.envoys}
        name = next(n for k in range(1, len(taken) + 2) if (n := f"{self.name}-router-{k}") not in taken)
        return Envoy(name, self._binary, self._home, self._routes, self._auth, self.listen, identity, wanted)

    def seen(self) -> tuple[RouterSeen, ...]:
        """The routers as the planner sees them: no draining one, and a successor only when it has something to say."""
        staying = [e for e in self.envoys if e.draining_since is None]
        telling = [e for e in staying if e.ready or e.rejected] or staying
        return tuple(e.seen() for e in telling)

    def uses(self, address: Address) -> bool:
        """Every Envoy that answers sends requests there."""
        answering = [e.hosts for e in self.envoys if e.hosts]
        return bool(answering) and all(hosts.get(address, False) for hosts in answering)

    def knows(self, address: Address) -> bool:
        """Some Envoy still has it."""
        return any(address in e.hosts for e in self.envoys)

    @property
    def settled(self) -> bool:
        """Whether one Envoy has everything and no other is left."""
        wanted = self._wanted
        return wanted is not None and len(self.envoys) == 1 and self.envoys[0].has(wanted)

    async def retire(self, inner: Inner, now: float) -> None:
        """The Endpoint is gone: let its callers finish."""
        self._wanted = None
        for envoy in self.envoys:
            await envoy.drain(inner, now)

    def kill(self) -> None:
        """End everything by force."""
        for envoy in self.envoys:
            if envoy.process is not None:
                envoy.process.kill()
