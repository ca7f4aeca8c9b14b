"""HTTP: routes, bodies in, answers and errors out; what they mean is in service."""

from wye_runtime.endpoints.edge import Edge
from wye_runtime.endpoints.inner import Inner, inner_app
from wye_runtime.endpoints.ledger import Ledger
from wye_runtime.endpoints.serving import serving_app

__all__ = ["Edge", "Inner", "Ledger", "inner_app", "serving_app"]
