"""Environments with clients that nobody here wrote, each made once for each version of its requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
FILES = {
    "clients": "requirements.txt",
    "mlserver": "requirements-mlserver.txt",
    "azure": "requirements-azure.txt",
    "triton": "requirements-triton.txt",
    "stores": "requirements-stores.txt",
}


def environment(name: str = "clients") -> Path:
    """Its interpreter; what it holds stands in the file of its name."""
    home, wanted = CHECKOUT / ".tools" / name, HERE / FILES[name]
    uv = shutil.which("uv") or str(CHECKOUT / ".tools" / "bin" / "uv")
    made, mark = home / "made", hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if not made.exists() or made.read_text() != mark:
        subprocess.run([uv, "venv", "-q", "--clear", str(home)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-r", str(wanted)], check=True)
        made.write_text(mark)
    return python
