"""The other end of a worker: a process of its own for every package, asked from here.

Packages are found, none is needed: R's through Rscript, Python's in the interpreter that JAXMIXED_PEER_PYTHON
names, or in this one.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from select import select
from typing import Any

HERE = Path(__file__).parent
OWN = "jaxmixed"
# The name of a package, and what Python imports.
PYTHON = {
    "glmm": "glmm",
    "mixedlm": "mixedlm",
    "statsmodels": "statsmodels",
    "gpboost": "gpboost",
    "lme-python": "lme_python",
    "interlace-lme": "interlace",
    "pystatistics": "pystatistics",
}
R = ("lme4", "lmerTest", "pbkrtest", "glmmTMB", "merTools")
MEMORY = 12 * 2**30  # bytes of addresses of another package, lest it take those of the machine


class Worker:
    """A process that answers requests; how long it may take and what it took in memory is known here."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        limit = None if name == OWN else _limited
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(
            command, **pipes, text=True, env=os.environ | environment, cwd=HERE.parent, preexec_fn=limit
        )

    def ask(self, *request: object, limit: float = 300.0) -> dict[str, Any]:
        """Send a request and wait for its answer; a worker that takes too long is ended."""
        if self.process.poll() is not None:
            return {"error": "its process had ended"}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\t".join(map(str, request)) + "\n")
        self.process.stdin.flush()
        if not select([self.process.stdout], [], [], limit)[0]:
            self.process.kill()
            return {"error": f"took more than {limit:.0f} s"}
        line = self.process.stdout.readline()
        return (
            _scalars(json.loads(line)) if line else {"error": "its process ended, for want of memory maybe"}
        )

    def forget_peak(self) -> None:
        """Let the peak of memory begin anew, where the system can."""
        _write(f"/proc/{self.process.pid}/clear_refs", "5")

    def peak(self) -> float | None:
        """Return the peak of resident memory, MiB."""
        lines = _read(f"/proc/{self.process.pid}/status").splitlines()
        found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        return found[0] / 1024 if found else None

    def close(self) -> None:
        """End the worker by ending its input."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def commands(wanted: list[str] | None, device: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return how to start this package and every other that is here, or those that are wanted.

    Raises
    ------
    SystemExit
        If one that is wanted is unknown or not here.
    """
    known = [*PYTHON, *R]
    if unknown := sorted(set(wanted or []) - set(known)):
        raise SystemExit(f"unknown packages: {', '.join(unknown)}; known are {', '.join(known)}.")
    platform = {
        "JAX_PLATFORMS": "cuda" if device == "gpu" else "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    found = {OWN: ([sys.executable, "-m", "benchmarks._worker", OWN], platform)}
    for name in wanted or known:
        command = r_command(name) if name in R else python_command(PYTHON[name])
        if command is not None:
            found[name] = (command, {})
        elif wanted:
            raise SystemExit(f"{name} is not installed here; benchmarks/README.md says how to install it.")
    return found


def python_command(module: str) -> list[str] | None:
    """Return how to start the worker of a package of Python, or None if no interpreter has it."""
    for python in filter(None, [os.environ.get("JAXMIXED_PEER_PYTHON"), sys.executable]):
        test = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", test], stderr=subprocess.DEVNULL, cwd="/").returncode == 0:
            return [python, "-m", "benchmarks._worker", module]
    return None


def r_command(package: str) -> list[str] | None:
    """Return how to start the worker of a package of R, or None if it is not here."""
    if shutil.which("Rscript") is None:
        return None
    test = f"quit(status = !requireNamespace('{package}', quietly = TRUE))"
    there = subprocess.run(["Rscript", "-e", test], capture_output=True).returncode == 0
    return ["Rscript", "--vanilla", str(HERE / "engines" / "engine.R"), package] if there else None


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _scalars(reply: dict[str, Any]) -> dict[str, Any]:
    """R sends every number as an array; take those out that stand alone."""
    alone = ("criterion", "version", "width", "each")
    return {k: v[0] if k in alone and isinstance(v, list) else v for k, v in reply.items()}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError:
        return
