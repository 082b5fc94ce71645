"""This module is the first scenario file of a newcomer: short, with the why of each line."""

from __future__ import annotations

from foreshard.config.scenario.schema import SCENARIO_MODELINE

__all__ = ["template_of_scenario"]

TEMPLATE = """\
{modeline}
# A scenario: a fleet, what is asked of it, and what befalls it. All times are seconds from the
# start. Only name, family, about, duration_s and faults must be said; an editor that knows YAML
# shows the rest, with defaults, from the schema named above.

name: {name}
# predictable = there is something to see before it hurts, unpredictable = there is not,
# trap = nothing needs to be done, and whatever harm is done we did.
family: predictable
# Two sentences: what happens; what a good engine does.
about: >
  One cell leaks memory for eight minutes until the kernel kills it, under keyed traffic.
  A good engine moves its keys away and restarts it before that.
duration_s: 900
warm_up_s: 60              # before this nothing is scored
pace: 1                    # 1 = real time; 15 = 15 times faster, patience of all divided by it

# Cells are called eu-001 and so on; zones, eua and so on, are dealt to them in turn.
regions:
  eu: {{cells: 6, zones: 3}}
  us: {{cells: 3, zones: 3, versions: ["1.0", "1.1"]}}

load:
  utilisation: 0.62        # mean share of all cpus that the demand needs
  swing_ratio: 0.15        # amplitude of its day
  period_s: 1200           # length of its day
  origins: {{eu: 0.7, us: 0.3}}
  client_retries: 0        # more, and an overload feeds on itself

latency_ms:
  eu: {{eu: 2, us: 80}}
  us: {{eu: 80, us: 2}}

faults:
  # Whom: cells, or zone / region / version, of which count or share takes the first.
  # When: from at_s, whole after grows_s, then so for holds_s (left out: to a restart or the end).
  # How: shape linear, exponential, sawtooth, load, step or pulse; magnitude when whole.
  - kind: leak
    cells: [eu-002]
    at_s: 240
    grows_s: 480
    shape: linear
    magnitude: 1.0         # share of the memory left; 1 = until the kill

  # Faults compose. Take the # away to make it worse:
  # - kind: slow_dependency  # one class only, in three cells that share what it depends on
  #   region: eu
  #   count: 3
  #   request_class: search
  #   at_s: 300
  #   grows_s: 240
  #   holds_s: 120
  #   magnitude: 1.2         # seconds that each of its requests waits longer
  # - {{kind: surge, request_class: report, at_s: 500, grows_s: 120, holds_s: 120, magnitude: 2}}
  # - {{kind: maintenance, cells: [us-001], at_s: 700, holds_s: 120, known_s: 300}}
"""


def template_of_scenario(name: str = "my-scenario") -> str:
    """A commented scenario that reads back.

    Args:
        name: Of the scenario: lower-case letters, digits and dashes.
    """
    return TEMPLATE.format(modeline=SCENARIO_MODELINE, name=name)
