"""`wye-runtime fetch`: a model from an https:// address into a folder, whole and checked, or not at all.

Runs as an init container before the server. It imports neither the server nor ONNX Runtime, so that a pod does not pay
for both twice.

request ──> chunks ──> .model.onnx.part ──whole, sha256 right──> fsync, rename ──> model.onnx
   ^           │ broken, silent, too slow
   └── pause ──┘ from where it stopped, while the server says that it is still the same file
"""

from wye_runtime.fetch.fetching import MODEL_FILE, Patience, fetch

__all__ = ["MODEL_FILE", "Patience", "fetch"]
