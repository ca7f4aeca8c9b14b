"""An environment with clients that nobody here wrote, made once for each version of its requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
WANTED = HERE / "requirements.txt"


def environment() -> Path:
    """Its interpreter."""
    home = CHECKOUT / ".tools" / "clients"
    uv = shutil.which("uv") or str(CHECKOUT / ".tools" / "bin" / "uv")
    made, mark = home / "made", hashlib.sha256(WANTED.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if not made.exists() or made.read_text() != mark:
        subprocess.run([uv, "venv", "-q", "--clear", str(home)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-r", str(WANTED)], check=True)
        made.write_text(mark)
    return python
