"""`codeConfiguration`: a scoring script as Azure ML runs it, in place of an ONNX model."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import Field

from wye_operator.api.base import Model, Rule, Text
from wye_operator.api.pod import ObjectName
from wye_operator.api.uris import ELSEWHERE, FETCHED, FETCHED_FROM, NAME, uri_hint


def _code_hint(uri: str) -> str:
    """As of a model's address, but that a ConfigMap is a whole folder."""
    if uri.startswith("configmap://") and uri.count("/") > 2:
        return f"the whole ConfigMap is the folder: use '{'/'.join(uri.split('/')[:3])}'"
    return uri_hint(uri)


CODE = Text(
    pattern=f"^(file://.+|configmap://{NAME}|{ELSEWHERE})$",
    most=2048,
    sentence="a folder: file://PATH (beside the manifest, or file:///absolute/path), configmap://NAME (each entry is a "
    "file), pvc://CLAIM/PATH, s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH, hf://ORG/REPO/PATH@REVISION or "
    "oci://HOST/NAME:TAG; or https://HOST/PATH, the script alone",
    hint=_code_hint,
)
SCRIPT = Text(
    pattern=r"^[-_a-zA-Z0-9]+(/[-_.a-zA-Z0-9]+)*\.py$|^[-_a-zA-Z0-9][-_.a-zA-Z0-9]*\.py$",
    most=253,
    sentence="the path of a Python file inside the code, such as score.py or src/score.py",
)


class CodeConfiguration(Model):
    """An Azure scoring script: a Python file with `init()` and `run(data)`, and what it imports from its folder."""

    code: Annotated[str, CODE] = Field(
        description="The folder with the script. `file://PATH` (the local twin only; relative to the manifest's "
        "folder), `configmap://NAME` (each entry is a file), `pvc://CLAIM/PATH` (a cluster only; mounted read-only); "
        "or fetched before an instance starts: `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH`, "
        "`hf://ORG/REPO/PATH@REVISION`, `oci://HOST/NAME:TAG`, and `https://HOST/PATH`, which is the script alone."
    )
    scoring_script: Annotated[str, SCRIPT] = Field(description="The script's path inside that folder.")
    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret whose entries are environment variables of the fetch, as `model.secretName`. Only where "
        "the code is fetched.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "code",
            "!self.code.matches('^(pvc|s3|gs|az|hf)://') || !self.code.contains('..')",
            "must not contain '..': the path is one inside the claim, the bucket or the repository",
            lambda found: not re.match("(pvc|s3|gs|az|hf)://", found.code) or ".." not in found.code,
        ),
        Rule(
            "secretName",
            f"!has(self.secretName) || self.code.matches('{FETCHED_FROM}')",
            f"must not be set where nothing is fetched: it serves {', '.join(f'{each}://' for each in FETCHED)}",
            lambda found: found.secret_name is None or bool(re.match(FETCHED_FROM, found.code)),
        ),
        Rule(
            "scoringScript",
            "!self.scoringScript.contains('..')",
            "must not contain '..': it is inside the code",
            lambda found: ".." not in found.scoring_script,
        ),
    )


def _of_models(name: str) -> Rule:
    """A field that a script has no use for."""
    return Rule(
        name,
        f"!has(self.codeConfiguration) || !has(self.{name})",
        "must not be set beside codeConfiguration: the script itself decides that",
        lambda spec: spec.code_configuration is None or name not in spec.model_fields_set,
    )


SCRIPT_RULES = (
    Rule(
        "environment",
        "!has(self.codeConfiguration) || !has(self.environment)",
        "must not be set beside codeConfiguration: a script runs in Wye's runtime, not in another server",
        lambda spec: spec.code_configuration is None or spec.environment is None,
    ),
    Rule(
        "model.name",
        "!has(self.codeConfiguration) || !has(self.model) || !has(self.model.name)",
        "must not be set beside codeConfiguration: /v2/models/NAME is not served by a script",
        lambda spec: spec.code_configuration is None or spec.model is None or spec.model.name is None,
    ),
    *map(_of_models, ("engine", "batching", "warmup", "contract")),
)
