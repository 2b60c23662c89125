# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Slurm of one node on loopback: munged, slurmctld and slurmd with files and ports of their own.

Works as root and as an ordinary user, touches nothing in /etc, and stops only the processes that it started. Needs
Debian's packages ``slurm-wlm`` and ``munge``.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATH = os.environ["PATH"] + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"

# More processors than there are, since one of them starts about a job a second; pgid keeps track of children
# without cgroups; with no memory for a job by default each would get the whole node.
CONF = """\
ClusterName=admixtest
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={root}/ctld
SlurmdSpoolDir={root}/slurmd
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SlurmdTimeout=30
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1
MinJobAge=3600
KillWait=5
ReturnToService=2
DefMemPerCPU=200
MpiDefault=none
AccountingStorageType=accounting_storage/none
MaxArraySize={max_array}
MaxJobCount=20000
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=200000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=120 State=UP OverSubscribe=NO
"""


def missing():
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


class Cluster:
    """Daemons of a private Slurm; ``env`` is what a process needs to use it."""

    def __init__(self, cpus=8, max_array=1001):
        # sockets have names of at most 107 bytes
        self.root = Path(tempfile.mkdtemp(prefix="admix-slurm-", dir="/tmp"))
        for name in ("munge", "ctld", "slurmd", "log", "run"):
            (self.root / name).mkdir()
        (self.root / "munge").chmod(0o700)
        self.root.chmod(0o755)
        port = 20000 + os.getpid() % 20000
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.conf = self.root / "slurm.conf"
        self.conf.write_text(
            CONF.format(
                root=self.root, host=socket.gethostname().split(".")[0], user=user, port=port, next_port=port + 1,
                cpus=cpus, max_array=max_array,
            )
        )  # fmt: skip
        self.env = {"SLURM_CONF": str(self.conf), "PATH": PATH}
        key = self.root / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        try:
            self._run(
                "munged", f"--key-file={key}", f"--socket={self.root}/run/munge.sock",
                f"--pid-file={self.root}/run/munged.pid", f"--log-file={self.root}/munge/munged.log",
                f"--seed-file={self.root}/munge/seed", "--force",
            )  # fmt: skip
            self.start("slurmctld", "-c")
            self.start("slurmd", "-c")
            self.until(lambda: self.ask("sinfo", "-h", "-o", "%t") == "idle", "an idle node")
        except BaseException:
            self.close()
            raise

    def _run(self, *words):
        done = subprocess.run(
            words, env=os.environ | self.env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def start(self, daemon, *more):
        """Start a daemon; without ``-c`` it takes up the state that it left."""
        self._run(daemon, "-f", str(self.conf), *more)

    def kill(self, daemon):
        """kill -9."""
        os.kill(int((self.root / f"run/{daemon}.pid").read_text()), signal.SIGKILL)

    def ask(self, *words):
        """What a program of Slurm says; empty where it fails."""
        try:
            return self._run(*words)
        except (RuntimeError, subprocess.TimeoutExpired):
            return ""

    @staticmethod
    def until(true, what, seconds=60):
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} within {seconds} s")
            time.sleep(0.1)

    def close(self):
        self.ask("scancel", "-u", str(os.getuid()))
        for daemon in ("slurmd", "slurmctld", "munged"):
            file = self.root / f"run/{daemon}.pid"
            try:
                pid = int(file.read_text())
                if Path(f"/proc/{pid}/comm").read_text().strip() != daemon:
                    continue
                os.kill(pid, signal.SIGTERM)
                for _ in range(100):
                    # nobody may be there to wait for it
                    if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                        break
                    time.sleep(0.1)
                else:
                    os.kill(pid, signal.SIGKILL)
            except (OSError, ValueError):
                continue
        shutil.rmtree(self.root, ignore_errors=True)
