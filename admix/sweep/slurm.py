# SPDX-License-Identifier: GPL-3.0-or-later
"""What admix asks of Slurm: sbatch, squeue, scancel, scontrol, and sacctmgr for a limit where accounting is on.

No state of Slurm decides what is finished, since messages get lost when its daemons are killed: files do.
"""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from admix.errors import InputError, RunError

__all__ = ["Refused", "Site", "cancel", "live", "live_states", "read_site", "submit"]

_TIMEOUT_SECONDS = 120.0
_PATIENCE_SECONDS, _PAUSE_SECONDS = 600.0, 5.0
_AWAY = re.compile(r"Unable to contact slurm controller|Connection refused", re.IGNORECASE)
_OURS = ("ARRAY_INX", "JOB_NAME", "OUTPUT", "ERROR", "OPEN_MODE", "WAIT", "SIGNAL")
"""What a script of ours says; variables SBATCH_... of these names in the environment would win over it."""


class Refused(InputError):
    """Slurm said no; the line holds its own message."""

    def __init__(self, program: str, message: str) -> None:
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        told = "; ".join(line.removeprefix(f"{program}: ").removeprefix("error: ") for line in lines)
        self.program, self.message = program, message
        super().__init__(program, allowed="what this site takes; it said: " + (told or "nothing"))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.program, self.message)


@dataclass(frozen=True, slots=True)
class Site:
    """Limits of a site: elements of one job array, and jobs (array tasks count) that a user may have queued.

    ``max_submit`` is None where the site sets none that can be read.
    """

    max_array: int
    max_submit: int | None


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of Slurm; replaced in tests."""
    # what Slurm tells a running job about itself must not become an option of the next one
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k == "SLURM_CONF"}
    for name in _OURS:
        kept.pop(f"SBATCH_{name}", None)
    return subprocess.run(words, capture_output=True, text=True, env=kept, timeout=_TIMEOUT_SECONDS, check=False)


def _call(words: Sequence[str], patient: bool = False) -> str:
    """Return what a program of Slurm says; ``patient``: where the controller is away, wait for it."""
    program = words[0]
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            done = _run(words)
        except FileNotFoundError as error:
            allowed = f"a machine with Slurm ({program} is not on the PATH)"
            raise InputError("--executor", "slurm", allowed) from error
        except subprocess.TimeoutExpired as error:
            raise RunError(program, f"no answer within {_TIMEOUT_SECONDS:g} seconds", "try again later") from error
        if not done.returncode:
            return done.stdout
        message = done.stderr or done.stdout
        if not patient or not _AWAY.search(message) or time.monotonic() > until:
            raise Refused(program, message)
        time.sleep(_PAUSE_SECONDS)


def read_site(patient: bool = False) -> Site:
    """Ask the site for its limits; ``patient``: where the controller is away, wait up to ten minutes for it.

    Raises
    ------
    InputError
        If Slurm is not there or does not answer.
    """
    told = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", _call(["scontrol", "show", "config"], patient), re.MULTILINE))
    limits = [int(told["MaxJobCount"])] if told.get("MaxJobCount", "").isdigit() else []
    if told.get("AccountingStorageType", "").endswith("slurmdbd"):
        user = pwd.getpwuid(os.getuid()).pw_name
        # a site may keep its database to itself; then sbatch says no, and its message is passed on
        with suppress(RunError, InputError):
            show = ["sacctmgr", "-n", "-P", "show"]
            rows = _call([*show, "assoc", "where", f"user={user}", "format=MaxSubmitJobs,DefaultQOS"])
            found = [row.split("|") for row in rows.splitlines() if row]
            for name in sorted({row[1] for row in found if len(row) > 1 and row[1]}):
                found += [[_call([*show, "qos", "where", f"name={name}", "format=MaxSubmitJobsPerUser"]).strip()]]
            limits += [int(row[0]) for row in found if row[0].isdigit()]
    array = told.get("MaxArraySize", "")
    return Site(int(array) if array.isdigit() else 1001, min(limits) if limits else None)


def live_states(name: str, patient: bool = False) -> list[tuple[str, str]]:
    """(id, state) of every queued or running job with this name, array tasks one by one."""
    words = ["squeue", "-h", "-r", "-u", str(os.getuid()), "-n", name, "-o", "%i %T"]
    return [(line.split()[0], line.split()[1]) for line in _call(words, patient).splitlines() if line.strip()]


def live(name: str, patient: bool = False) -> list[str]:
    """Ids of queued and running jobs with this name, but for the job that this process runs in."""
    own = os.environ.get("SLURM_JOB_ID")
    return [job for job, _ in live_states(name, patient) if job != own]


def submit(script: str, dependencies: Sequence[str] = (), *, patient: bool = False) -> str:
    """Give a batch script to sbatch, to start after some jobs have ended in any way; return the job's id.

    ``patient``: where the controller is away, wait up to ten minutes for it.

    Raises
    ------
    Refused
        If sbatch does not take it.
    """
    words = ["sbatch", "--parsable"]
    if dependencies:
        words.append(f"--dependency=afterany:{':'.join(dependencies)}")
    return _call([*words, script], patient).strip().split(";")[0]


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs by id, arrays as a whole."""
    whole = sorted({job.split("_")[0] for job in jobs})
    for at in range(0, len(whole), 500):
        _call(["scancel", *whole[at : at + 500]])
