"""Which cell serves a request, decided in the application, without a balancer."""

from foreshard.router.answer import Answer, Batch, Nowhere, Refused
from foreshard.router.router import Router

__all__ = ["Answer", "Batch", "Nowhere", "Refused", "Router"]
