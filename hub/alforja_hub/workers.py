"""Processes that do heavy work, one call at a time each, and end with whoever started them.

Unlike `concurrent.futures.ProcessPoolExecutor` they can be stopped in the middle of
a call at once: nothing here waits for a process that was ended.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any

_STOPPING = {signal.SIGINT, signal.SIGTERM}
_PRELOADED = ["alforja_hub.encoding", "alforja_hub.features", "alforja_hub.workers"]

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Workers(Executor):
    """As many processes as there is work for, up to `count`; each starts with its first call."""

    def __init__(self, count: int) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._processes: list[BaseProcess] = []
        # Daemons: Python does not wait for them when it ends.
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]
        self._began = self._stopped = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Have a call done by a process. The future fails with BrokenProcessPool if that process is ended."""
        if not self._began:
            self._began = True
            _start_server(self._context)
            for thread in self._threads:
                thread.start()
        future: Future[Any] = Future()
        self._tasks.put((future, fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once the calls are done; with `cancel_futures` at once, in the middle of them."""
        if cancel_futures:
            self._stopped = True
            for process in self._processes:
                process.kill()
            return
        for _ in self._threads:
            self._tasks.put(None)
        if wait and self._began:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        """Hand calls to one process, as long as it lives."""
        connection: Connection | None = None
        while task := self._tasks.get():
            future, *call = task
            if self._stopped:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                connection = connection or self._start()
                connection.send(call)
                good, answer = connection.recv()
            except (EOFError, OSError):
                future.set_exception(BrokenProcessPool("the process was ended"))
                connection = None
                continue
            except Exception as error:  # noqa: BLE001 (a call or an answer that cannot be sent as it is)
                future.set_exception(error)
                continue
            if good:
                future.set_result(answer)
            else:
                future.set_exception(answer)
        if connection:
            connection.close()

    def _start(self) -> Connection:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there,), daemon=True)
        process.start()
        there.close()  # or the end of the process would never be seen
        self._processes.append(process)
        if self._stopped:  # after the others were ended
            process.kill()
        return here


def _start_server(context: Any) -> None:
    """Start what processes are made from. A Ctrl-C meanwhile waits until they can end on it without a word."""
    context.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # of itself, this would let signals in again
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _work(connection: Connection) -> None:
    """Answer calls until nobody asks any more."""
    # A terminal's Ctrl-C reaches everybody: were it the end of this process first, that would look like a fault.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    parent = multiprocessing.parent_process()
    if parent is not None:  # in the middle of a call, nothing else tells that it was killed
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    while True:
        try:
            function, args, kwargs = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[bool, Any] = (True, function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (whoever asked gets it)
            answer = (False, error)
        connection.send(answer)


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
