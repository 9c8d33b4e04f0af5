"""The part of ``courier run`` that lets the simulated providers misbehave: its two options, and what it says."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cli.configuration import read_faults
from cli.progress import say
from courier.errors import SettingsError
from local.chaos.chaos_run import ChaosReport, FaultProfile


def read_weather(faults: Path | None, seed: int | None) -> FaultProfile | None:
    """Read the options ``--faults`` and ``--chaos``; None where neither is given.

    Raises
    ------
    SettingsError
        Both are given, or the file is no plan.
    """
    if faults is not None and seed is not None:
        raise SettingsError("give --faults or --chaos, not both")
    if faults is not None:
        return FaultProfile(rules=read_faults(faults))
    return None if seed is None else FaultProfile(seed=seed)


def print_judgement(console: Console, errors: Console, profile: FaultProfile, chaos_report: ChaosReport) -> None:
    """Say which faults there were and how often, and which promises were broken."""
    say(console, "")
    say(console, f"{sum(chaos_report.injected.values())} faults injected, {profile}")
    for (fault, kind), times in chaos_report.injected.items():
        say(console, f"{times:5}  {kind:<12}  {fault}{'' if times else '  (no request matched)'}")
    for words in chaos_report.explained:
        say(console, f"explained by a fault: {words}")
    kept = "all kept" if chaos_report.is_good else f"{len(chaos_report.violations)} breaches"
    say(console, f"{chaos_report.promises} promises checked over {chaos_report.builds} records: {kept}")
    for violation in chaos_report.violations:
        say(errors, f"courier: broken promise: {violation}", style="red")
