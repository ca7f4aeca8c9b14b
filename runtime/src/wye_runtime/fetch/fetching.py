"""The order of a fetch: look what is there, receive with patience, check, put in place."""

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from wye_runtime.errors import ModelDigestMismatch, ModelFetch
from wye_runtime.fetch.layers import unpack
from wye_runtime.fetch.part import Part, part_in
from wye_runtime.fetch.remote import WebSource
from wye_runtime.fetch.source import Changed, File, Interrupted, Remote, Source
from wye_runtime.fetch.sources import source_of
from wye_runtime.fetch.tree import Stage, digest_of, digests_in, stage_for
from wye_runtime.fetch.tries import Patience, Progress, patiently

log = logging.getLogger("wye")
MODEL_FILE = "model.onnx"  # whatever the address calls it: the server finds it in the folder


def fetch(uri: str, to: Path, sha256: str | None, environment: Mapping[str, str], patience: Patience) -> Path:
    """The model's file or folder, or a ModelFetch or ModelDigestMismatch; never a half one under its name.

    From https:// it is the file model.onnx in the folder; from elsewhere it is the folder, which has nothing else.
    """
    source = source_of(uri, environment, patience.silence)
    target = to / MODEL_FILE if isinstance(source, WebSource) else to
    if sha256 and is_there(target, sha256):
        log.info("already fetched", extra={"uri": source.shown, "path": str(target), "sha256": sha256})
        return target
    began = time.monotonic()
    if isinstance(source, WebSource):
        size, digest = into_file(source, target, sha256, patience)
    else:
        size, digest = into_folder(source, target, sha256, patience)
    seconds = round(time.monotonic() - began, 3)
    log.info("fetched", extra={"uri": source.shown, "bytes": size, "sha256": digest, "seconds": seconds})
    return target


def is_there(target: Path, sha256: str) -> bool:
    """Whether an earlier run of this pod's init container has done the work."""
    try:
        return digest_of(digests_in(target)) == sha256
    except OSError:
        return False


def into_file(source: WebSource, target: Path, sha256: str | None, patience: Patience) -> tuple[int, str]:
    """Brings one file; its size and its sha256."""
    with part_in(target.parent, target.name, source.shown) as part:
        receive(source.file, part, patience)
        check(source.shown, part.size, part.sha256, sha256)
        part.commit(target)
        return part.size, part.sha256


def into_folder(source: Source, to: Path, sha256: str | None, patience: Patience) -> tuple[int, str]:
    """Brings all files, which get their place together; size and sha256 of the whole."""
    with stage_for(to, source.shown) as stage:
        files = patiently(source.files, source.shown, patience)
        count, came = stage.brought(files)
        make_sure_of_room(sum(file.size or 0 for file in files[count:]), stage.files)
        for file in files[count:]:
            now = bring(file, stage, patience)
            stage.finished(file, now)
            came |= now
        digests = {name: digest for name, digest in came.items() if (stage.files / name).is_file()}
        size = sum((stage.files / name).stat().st_size for name in digests)
        check(source.shown, size, digest_of(digests), sha256)
        stage.commit()
        return size, digest_of(digests)


def bring(file: File, stage: Stage, patience: Patience) -> dict[str, str]:
    """One file into the stage, or what an archive holds: the sha256 by name."""
    with part_in(stage.incoming, "incoming", file.remote.shown) as part:
        receive(file.remote, part, patience)
        if file.size is not None and part.size != file.size:
            raise ModelFetch(f"{file.remote.shown} came with {part.size} bytes, the list says {file.size}")
        if file.sha256 and part.sha256 != file.sha256:
            raise ModelFetch(f"{file.remote.shown} came with the sha256 {part.sha256}, its source says {file.sha256}")
        if file.unpack:
            part.file.flush()
            return unpack(part.path, stage.files, file.unpack, file.remote.shown)
        part.commit(stage.files / file.name)
        return {file.name: part.sha256}


def check(shown: str, size: int, digest: str, sha256: str | None) -> None:
    """Raises where what came is nothing, or something else."""
    if not size:
        raise ModelFetch(f"{shown} is empty (0 bytes)")
    if sha256 and digest != sha256:
        raise ModelDigestMismatch(f"{shown} has the sha256 {digest} ({size} bytes), model.sha256 wants {sha256}")


def receive(remote: Remote, part: Part, patience: Patience) -> None:
    """Transfers until the file is whole."""
    patiently(lambda: transfer(remote, part), remote.shown, patience, came=lambda: part.size)


def transfer(remote: Remote, part: Part) -> None:
    """One answer of the server into the part, from where the part ends."""
    try:
        with remote.answer(part.size, part.validator) as answer:
            if answer.start and answer.validator != part.validator:
                raise Changed("the file changed meanwhile")
            part.take_up(answer.start, answer.validator)
            make_sure_of_room((answer.total or 0) - part.size, part.path.parent)
            progress = Progress(remote.shown, answer.total, part.size)
            for chunk in answer.chunks():
                part.write(chunk)
                progress.note(part.size)
            if answer.total is not None and part.size != answer.total:
                raise Interrupted(f"the connection ended after {part.size} of {answer.total} bytes")
    except Changed:
        part.validator = None
        raise


def make_sure_of_room(left: int, folder: Path) -> None:
    """Raises before a transfer that the disk cannot hold."""
    free = shutil.disk_usage(folder).free
    if left > free:
        raise ModelFetch(f"the model has {left} bytes to come, {folder} has room for {free}")
