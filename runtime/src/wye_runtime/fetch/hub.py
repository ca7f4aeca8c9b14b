"""Models of a hub that speaks Hugging Face's protocol: hf://ORG/REPO[/PATH][@REVISION].

A branch or a tag is first made the commit that it is now, so that all files are of one commit. HF_ENDPOINT names
another hub (a mirror), HF_TOKEN the token.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from wye_runtime.errors import ConfigError, ModelFetch
from wye_runtime.fetch.remote import Web, WebFile, checked
from wye_runtime.fetch.source import MOST_FILES, File, inside, own_name

ENDPOINT = "https://huggingface.co"


class Hub:
    """A repository, and what of it is the model: a file, a folder or all."""

    def __init__(self, uri: str, environment: Mapping[str, str], silence: float, authorities: str = "") -> None:
        self.shown = uri
        rest, _, revision = uri.removeprefix("hf://").partition("@")
        parts = [part for part in rest.split("/") if part]
        if len(parts) < 2 or ".." in parts:
            raise ConfigError(f"--uri is {uri}, want hf://ORG/REPO/FILE@REVISION")
        self.repository, self.path = "/".join(parts[:2]), "/".join(parts[2:])
        self.revision = revision or "main"
        self.endpoint = (environment.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        checked(f"{self.endpoint}/")
        token = environment.get("HF_TOKEN", "").strip()
        self.web = Web({"Authorization": f"Bearer {token}"} if token else {}, silence, authorities)

    def files(self) -> list[File]:
        """Those at the path, with the sizes and digests that the hub has of them."""
        where = f"api/models/{self.repository}/revision/{quote(self.revision, safe='')}"
        body = self.web.read(f"{self.endpoint}/{where}?blobs=true", {}, self.shown, self.web.credentials)
        told = body.json(self.shown)
        commit, entries = told.get("sha"), told.get("siblings")
        if not isinstance(commit, str) or not isinstance(entries, list):
            raise ModelFetch(f"{self.endpoint} answered without the files of {self.repository}: is it a hub?")
        found = [file for entry in entries if (file := self.file_of(entry, commit))]
        if not found:
            raise ModelFetch(
                f"{self.shown}: {self.repository} has nothing called {self.path or '(anything)'} at {self.revision}"
            )
        if len(found) > MOST_FILES:
            raise ModelFetch(f"{self.shown} has more than {MOST_FILES:,} files: name the model's own folder")
        return found

    def file_of(self, entry: Mapping[str, Any], commit: str) -> File | None:
        """None for what is not at the path."""
        name, large = str(entry.get("rfilename", "")), entry.get("lfs") or {}
        if name == self.path:
            local = own_name(name)
        elif not self.path or name.startswith(f"{self.path}/"):
            local = str(inside(name.removeprefix(self.path).lstrip("/"), self.shown))
        else:
            return None
        uri = f"{self.endpoint}/{self.repository}/resolve/{commit}/{quote(name)}"
        size = entry.get("size")
        return File(
            local,
            WebFile(uri, self.web, f"hf://{self.repository}/{name}@{commit[:12]}"),
            size if isinstance(size, int) else None,
            large.get("sha256") if isinstance(large, Mapping) else None,
            version=commit,
        )
