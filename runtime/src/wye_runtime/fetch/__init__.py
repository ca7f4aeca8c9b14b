"""`wye-runtime fetch`: a model from elsewhere into a folder, whole and checked, or not at all.

Runs as an init container before the server, and as the twin's. It imports neither the server nor ONNX Runtime, so that
a pod does not pay for both twice.

source ──> files ──> request ──> chunks ──> .….part ──whole, sha256 right──> fsync, rename ──> the model
                        ^           │ broken, silent, too slow
                        └── pause ──┘ from where it stopped, while the server says that it is still the same file
"""

from wye_runtime.fetch.fetching import MODEL_FILE, fetch
from wye_runtime.fetch.tries import Patience

__all__ = ["MODEL_FILE", "Patience", "fetch"]
