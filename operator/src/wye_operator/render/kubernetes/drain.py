"""How a router's pod ends: callers are asked to come back elsewhere, new ones are served, the last one is waited for.

A router that gets SIGTERM ends at once, so this runs before it, as preStop. bash alone: the image has no curl, and
kubelet's httpGet cannot POST.
"""

from __future__ import annotations

from wye_operator.render.process import DRAIN_SECONDS

LEAST_SECONDS = DRAIN_SECONDS + 3  # until every node forgot the pod's address
MARGIN = 2  # of the script itself
SCRIPT = """\
ask() {
  exec 3<>/dev/tcp/127.0.0.1/@ADMIN || exit 0
  printf '%s %s HTTP/1.1\\r\\nHost: admin\\r\\nConnection: close\\r\\n\\r\\n' "$1" "$2" >&3
  while read -r line; do echo "$line"; done <&3
  exec 3>&-
}
ask POST '/drain_listeners?graceful&skip_exit' >/dev/null
sleep @LEAST
while (( SECONDS < @MOST )); do
  case "$(ask GET '/stats?filter=^http.router.downstream_rq_active$')" in
    *'rq_active: 0'*) exit 0 ;;
    *'rq_active: '*) sleep 1 ;;
    *) exit 0 ;;
  esac
done
"""


def most_seconds(patience: int) -> int:
    """How long the script takes at most, when requests may last for `patience` seconds after the last one came."""
    return LEAST_SECONDS + patience + MARGIN


def drain(admin: int, most: int, least: int = LEAST_SECONDS) -> str:
    """The script: at least and at most so many seconds, until no request is active."""
    return SCRIPT.replace("@ADMIN", str(admin)).replace("@LEAST", str(least)).replace("@MOST", str(most))
