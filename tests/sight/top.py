"""`wye top` as a picture: `python tests/sight/top.py DIR > docs/pictures/wye-top.svg`, with a twin under load."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich.console import Console

from wye_operator.cli.screen import drawn
from wye_operator.cli.top import WINDOW, Show, _of_twin, _picture
from wye_operator.cli.watching import watching
from wye_operator.cli.where import Folder

WIDTH, HEIGHT = 92, 14


def main(folder: Path) -> None:
    show = Show(lambda: _of_twin(Folder(folder), folder / ".wye"), "", WINDOW, spaced=False)
    with watching(show.pods, None) as watch:
        show.take(watch.look())
        time.sleep(WINDOW)
        picture = _picture(show, *show.take(watch.look()))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(drawn(picture, WIDTH, HEIGHT))
    svg = console.export_svg(title="wye top", unique_id="top")
    print(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))  # no font is fetched from anywhere


if __name__ == "__main__":
    main(Path(sys.argv[1]))
