"""This module is free routing at best practice: any cell for any request, and a good net below.

Every class, keyed ones too, goes by least request over all cells alike, with outlier detection,
retries on other cells and a panic threshold (`SafetyNet`'s numbers). It is the `flat` of the
measurements: what a service without keys, or one that does not mind cold ones, does well with.

Source: Envoy documentation, "Outlier detection" and "Supported load balancers" (weighted least
request: the better of two random hosts while weights are equal).
"""

from __future__ import annotations

from foreshard.lab.policy.peer import Fixed
from foreshard.lab.policy.program import Draft, even_shares
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.routing import Pick

__all__ = ["outlier"]


def outlier(setting: Setting) -> Fixed:
    """Least request over all cells, for every class."""
    return Fixed(draft=Draft(share=even_shares(setting), free=Pick.LEAST_REQUEST, net=setting.net))
