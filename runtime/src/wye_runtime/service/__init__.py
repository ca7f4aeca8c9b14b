"""The meaning of a request, free of any transport: which model, what to run, where to run it, what to answer."""

from wye_runtime.service.service import Pending, Service
from wye_runtime.service.slots import Slots, Workers
from wye_runtime.service.tickets import Ticket

__all__ = ["Pending", "Service", "Slots", "Ticket", "Workers"]
