"""What the inner port counts. Every label comes from a fixed set of ours, never from a request.

Counting is plain Python: it happens with every request. The client library that writes the page is imported with the
first one that is asked for, since it would be a twentieth of a start.
"""

from wye_runtime.metrics.instruments import CHECK, DROP_REASONS, LIVE, MIRROR, Metrics

__all__ = ["CHECK", "DROP_REASONS", "LIVE", "MIRROR", "Metrics"]
