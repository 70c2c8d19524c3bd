"""A faithful, deterministic Entra ID tenant as a client of any SCIM server: for demos, tests and load."""

from rollhouse.simulator.oracle import UnreachableError
from rollhouse.simulator.report import Report
from rollhouse.simulator.run import ScenarioRequest, run_scenario
from rollhouse.simulator.scenarios import SCENARIOS

__all__ = ["SCENARIOS", "Report", "ScenarioRequest", "UnreachableError", "run_scenario"]
