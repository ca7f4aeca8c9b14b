"""The chart's dashboards as pictures: a real Prometheus answers their queries, and Grafana's own components draw that.

`python tests/sight/draw.py FOLDER [OUT]` wants the FOLDER that `scene.py` left, Node.js and Chromium
(tests/install-browser). A query that is answered with nothing is named, and ends it with 1. There is no Grafana in any
registry of packages; `page/` is its chart library (`@grafana/ui`) around our dashboards, as far as they use it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2] / "charts"))

import dashboards

from cluster.harness.build import PROMETHEUS, build
from ports import free_port
from render.browser import installed

HERE = Path(__file__).resolve().parent
STEP, SCRAPED = 5, 5  # seconds
WIDTH, CELL, GAP, TOP = 1480, 30, 8, 64  # pixels; cells and gaps as in Grafana
CHOSEN = {"namespace": "shop", "endpoint": "fraud"}
# root has no sandbox; nothing is fetched; the time of a page goes on faster while it waits
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"),
    *("--allow-file-access-from-files", "--virtual-time-budget=8000"),
)


@dataclass(frozen=True)
class Prometheus:
    """One that answers, and the seconds that are looked at."""

    url: str
    begin: float
    end: float

    def asked(self, what: str, **given: object) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(given)}", timeout=30) as answer:
            return json.load(answer)["data"]

    def answers(self, target: Mapping[str, Any], values: Mapping[str, str]) -> list[dict[str, Any]]:
        """Of one query of a panel, as Grafana asks it."""
        query = filled(target["expr"], values)
        if target.get("instant"):
            return self.asked("query", query=query, time=self.end)["result"]
        return self.asked("query_range", query=query, start=self.begin, end=self.end, step=STEP)["result"]

    def chosen(self, variable: Mapping[str, Any], values: Mapping[str, str]) -> str:
        """What a dashboard shows when it is opened, of what Prometheus knows."""
        if variable["type"] == "datasource":
            return "prometheus"
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert found, variable
        match, label = filled(found[1], values), found[2]
        there = self.asked(f"label/{label}/values", **{"match[]": match, "start": self.begin, "end": self.end})
        assert CHOSEN[variable["name"]] in there, (variable["query"], there)
        return variable["allValue"] if variable["includeAll"] else CHOSEN[variable["name"]]


def filled(query: str, values: Mapping[str, str]) -> str:
    """With Grafana's variables, and ours."""
    given = {"__rate_interval": f"{max(STEP + SCRAPED, 4 * SCRAPED)}s", **values}
    return re.sub(r"\$(\w+)", lambda found: given[found[1]], query)


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """On what `scene.py` left."""
    port, times = free_port(), json.loads((folder / "scene.json").read_text())
    (folder / "empty.yaml").write_text("{}")
    argv = [
        build(PROMETHEUS, ["prometheus"]) / "prometheus",
        f"--config.file={folder / 'empty.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=10y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        (folder / "draw.log").open("w") as log,
        subprocess.Popen(list(map(str, argv)), stdout=log, stderr=log) as process,
    ):
        try:
            yield _ready(Prometheus(f"http://127.0.0.1:{port}", times["from"], times["to"]))
        finally:
            process.terminate()


def _ready(found: Prometheus) -> Prometheus:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{found.url}/-/ready", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return found
    raise SystemExit(f"no Prometheus at {found.url}")


def answered(source: Prometheus, board: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A dashboard with the answers of all its queries, and the queries that have none."""
    values: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        values[variable["name"]] = source.chosen(variable, values)
    answers, empty = {}, []
    for panel in board["panels"]:
        for target in panel["targets"]:
            found = answers[f"{panel['id']}{target['refId']}"] = source.answers(target, values)
            if not found:
                empty.append(f"{board['uid']}: {panel['title']} {target['refId']}: {target['expr']}")
    told = {"board": board, "values": values, "answers": answers, "from": source.begin, "to": source.end, "step": STEP}
    return told, empty


def page() -> Path:
    """The page that draws one, built."""
    folder = HERE / "page"
    if not shutil.which("npm"):
        raise SystemExit("npm is missing: the page is built from npm's packages")
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=folder, check=True)
    return folder / "built"


def drawn(told: Mapping[str, Any], folder: Path, out: Path) -> None:
    """A picture of it."""
    name, last = told["board"]["uid"], told["board"]["panels"][-1]["gridPos"]
    height = TOP + (last["y"] + last["h"]) * (CELL + GAP) + GAP
    place = folder / name
    shutil.copytree(page(), place, dirs_exist_ok=True)
    (place / "told.js").write_text(f"window.told = {json.dumps(told)};")
    picture = out / f"{name}.png"
    argv = [installed(), *FLAGS, f"--user-data-dir={folder / 'browser'}"]
    argv += [f"--window-size={WIDTH},{height}", f"--screenshot={picture}"]
    subprocess.run([*argv, f"file://{place}/index.html"], check=True, capture_output=True, timeout=120)
    smaller(picture)


def smaller(picture: Path) -> None:
    """In 256 colours, which is enough for lines."""
    from PIL import Image

    with Image.open(picture) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


def main(folder: Path, out: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    with prometheus(folder) as source:
        for board in dashboards.every().values():
            told, empty = answered(source, board)
            missing += empty
            drawn(told, folder, out)
    print("\n".join(f"no data: {each}" for each in missing) or "every query has data")
    return bool(missing)


if __name__ == "__main__":
    given = [Path(each).resolve() for each in sys.argv[1:]]
    sys.exit(main(given[0], given[1] if len(given) > 1 else HERE.parents[1] / "docs/pictures"))
