"""A scoring script without decorators, as Azure ML runs it: what it gives, or how it fails, stands in the request."""

import json
import logging
import os
import time

logger = logging.getLogger(__name__)


def init():
    global model
    model = os.path.basename(os.getenv("AZUREML_MODEL_DIR", ""))
    print("init complete")


def run(raw_data, request_headers):
    logger.info("run: %s", raw_data)
    asked = json.loads(raw_data)
    if "raise" in asked:
        raise ValueError("the caller must not see this")
    if "sleep" in asked:
        end = time.monotonic() + asked["sleep"]
        while time.monotonic() < end:
            time.sleep(0.01)
    if "unserialisable" in asked:
        return object()
    if "header" in asked:
        return request_headers.get(asked["header"])
    return asked.get("give", {"model": model, "asked": asked})
