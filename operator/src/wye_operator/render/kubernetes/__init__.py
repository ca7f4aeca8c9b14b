"""A Plan as Kubernetes objects: everything that belongs to one Endpoint's name, as bodies of server-side apply.

`objects_for` is all that is to be, in the order in which it should be written; what it leaves out of what is ours is to
go, but for what belongs to a Deployment in `Plan.held`, which stays exactly as it is.
"""

from wye_operator.render.kubernetes.objects import keys_object, objects_for
from wye_operator.render.kubernetes.place import ClusterPlace, Images
from wye_operator.render.kubernetes.status import status_body

__all__ = ["ClusterPlace", "Images", "keys_object", "objects_for", "status_body"]
