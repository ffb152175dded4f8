"""Runs the queued jobs, each as a process of its own: `posewright run CLIP -o FOLDER`.

A process per job keeps a crash or a full memory away from the server and the other jobs, and can be stopped at once.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from posewright.server.jobs import CANCELLED, DONE, FAILED, QUEUED, Job, JobStore

_HERE = str(Path(__file__).resolve().parents[2])
_CODE = f"import sys; sys.path.append({_HERE!r}); from posewright.cli import main; main()"
_COMMAND = (sys.executable, "-P", "-c", _CODE)
_PATIENCE_S = 5.0
_LINE = 500


class Runner:
    """Worker threads, each of which watches one process at a time."""

    def __init__(self, store: JobStore, workers: int = 1, device: str = "auto"):
        self._store, self._device = store, device
        self._stopping = threading.Event()
        self._processes: dict[str, subprocess.Popen] = {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, name=f"job-{i}") for i in range(workers)]

    def start(self) -> None:
        """Begin with the oldest queued job."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the processes and wait for them; their jobs stay unfinished on disk and go on at the next start."""
        self._stopping.set()
        self._store.wake()
        with self._lock:
            processes = list(self._processes.values())
        for process in processes:
            _end(process)
        for thread in self._threads:
            thread.join()

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or end its process."""
        self._store.finish(job, CANCELLED)
        with self._lock:
            process = self._processes.get(job.id)
        if process:
            _end(process)

    def _work(self) -> None:
        while job := self._store.next(self._stopping):
            try:
                self._run(job)
            except OSError as error:
                self._store.finish(job, FAILED, f"the run could not be started or noted: {error}")

    def _run(self, job: Job) -> None:
        process = self._spawn(job)
        if process is None:
            return
        try:
            said = _listen(process, job)
            status = process.wait()
        finally:
            with self._lock:
                self._processes.pop(job.id)
            _end(process)
        if self._stopping.is_set() and status != 0:
            job.state = QUEUED
            return
        if status == 0:
            self._store.finish(job, DONE)
            return
        hidden = f"{self._store.source(job).parent}{os.sep}"  # where things lie here is no client's business
        self._store.finish(job, FAILED, _reason(status, said.replace(hidden, "")))

    def _spawn(self, job: Job) -> subprocess.Popen | None:
        """Start the process, unless the job was cancelled or the server began to stop in the same moment."""
        arguments = ("run", "--json", "--device", self._device, "-o", str(self._store.out(job)))
        with self._lock:
            if job.state == CANCELLED or self._stopping.is_set():
                return None
            process = subprocess.Popen(
                [*_COMMAND, *arguments, *job.arguments, "--", str(self._store.source(job))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "POSEWRIGHT_PROGRESS": "json", "PYTHONIOENCODING": "utf-8"},
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._processes[job.id] = process
            return process


def _listen(process: subprocess.Popen, job: Job) -> str:
    """Note the progress that the process writes to stderr; return the last other line."""
    said = ""
    for line in process.stderr or ():
        if line.startswith("{"):
            try:
                progress = json.loads(line)
                job.stage, job.done, job.total = progress["stage"], progress["done"], progress["total"]
                continue
            except (ValueError, LookupError):
                pass
        said = line.strip() or said
    return said


def _reason(status: int, said: str) -> str:
    """One line for a person."""
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        hint = " (out of memory?)" if -status == getattr(signal, "SIGKILL", 9) else ""
        return f"the run was ended by {name}{hint}"
    return said.removeprefix("posewright: ")[:_LINE] or f"the run ended with status {status}"


def _end(process: subprocess.Popen) -> None:
    """End a process and what it started: politely, then not."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen, number: int) -> None:
    """Signal the process's whole group (it is the first of its own), where there are groups."""
    if process.poll() is not None:
        return
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
