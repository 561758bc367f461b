"""The guard between engine and CLI: a process that sees to it that nothing a CLI started outlives the engine.

Run by path as `python -I -S guard.py CONTROL SCRATCH NICE CPU_S PROGRAM ...`, with the CLI's own environment,
directory and standard streams; CONTROL is its end of a socket pair, SCRATCH a folder to be removed at the
end, or empty. NICE is how much nicer the CLI and its children are, CPU_S the most processor time that each
process may use; 0 changes nothing. It knows nothing of the package, to start quickly.

The engine writes one byte for each order: the number of a signal for the CLI, or 0 to end everything. The
guard answers in lines: `P pid` or `E errno` once, `X code` when the CLI has ended, `G` when nothing of it
is left. The end of the control stream means that the engine is gone, however it died.

On Linux descendants that lost their parent come back to the guard, those in sessions of their own too; so
"no child" means "no descendant". Elsewhere only the CLI's own process group is ended.
"""

import ctypes
import os
import select
import signal
import sys
import time

END = 0
GRACE_S = 2.0
LONGEST_END_S = 60.0
LOOK_AGAIN_MS = 20
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform == "linux"
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ignored signals stay ignored in a new program, and Python ignores the last two.
AS_USUAL = (*DEAF_TO, signal.SIGPIPE, signal.SIGXFSZ)


class Guard:
    """One CLI, and everything that it starts."""

    def __init__(self, control: int, nice: int, cpu_s: int) -> None:
        self._control = control
        self._nice, self._cpu_s = nice, cpu_s
        self._cli = 0
        self._running = False
        self._poller = select.poll()
        self._woken = self._wake_on_deaths()

    def run(self, argv: list[str]) -> None:
        """Start the CLI, serve the engine until it asks for the end or is gone, and leave nothing."""
        try:
            self._cli = self._started(argv)
        except OSError as error:
            self._tell(f"E {error.errno}")
            return
        self._running = True
        _let_streams_go()
        self._tell(f"P {self._cli}")
        if not self._serve():
            self._give_grace()
        self._end_all()
        self._tell("G")

    def _started(self, argv: list[str]) -> int:
        """Start the CLI, which inherits what the guard is held to; raises OSError."""
        if self._nice:
            os.nice(self._nice)  # the guard's too: there is no way back, and it needs next to nothing
        before = _bound_cpu(self._cpu_s) if self._cpu_s else None
        try:
            cli = os.posix_spawnp(argv[0], argv, os.environ, setsid=True, setsigmask=(), setsigdef=AS_USUAL)
        finally:
            if before is not None:
                _unbound_cpu(before)
        if self._nice:
            _stand_back(cli, self._nice)
        return cli

    def _serve(self) -> bool:
        """Carry out orders; whether the last one was to end, and not that the engine is gone."""
        self._poller.register(self._control, select.POLLIN)
        while True:
            self._reap()
            if not self._wait(None):
                continue
            orders = self._orders()
            for order in orders:
                if order == END:
                    return True
                self._signal(order)
            if not orders:
                return False

    def _orders(self) -> bytes:
        try:
            return os.read(self._control, 64)
        except OSError:  # reset: the engine died before it had read everything
            return b""

    def _give_grace(self) -> None:
        self._poller.unregister(self._control)
        self._signal(signal.SIGINT)
        until = time.monotonic() + GRACE_S
        while self._reap() and self._running and (left := until - time.monotonic()) > 0:
            self._wait(int(left * 1000) + 1)

    def _end_all(self) -> None:
        until = time.monotonic() + LONGEST_END_S
        if not LINUX:
            _kill(-self._cli, signal.SIGKILL)
        while self._reap() and time.monotonic() < until:
            for pid in _children() if LINUX else [self._cli]:
                _kill(pid, signal.SIGKILL)
            self._wait(LOOK_AGAIN_MS)

    def _signal(self, number: int) -> None:
        if self._running:
            _kill(self._cli, number)

    def _reap(self) -> bool:
        """Take note of the children that ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._cli:
                self._running = False
                self._tell(f"X {os.waitstatus_to_exitcode(status)}")

    def _wait(self, timeout_ms: int | None) -> bool:
        """Wait for a death or an order; whether there is an order."""
        ready = dict(self._poller.poll(timeout_ms))
        if ready.pop(self._woken, 0):
            os.read(self._woken, 4096)
        return bool(ready)

    def _wake_on_deaths(self) -> int:
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _heard)
        self._poller.register(woken, select.POLLIN)
        return woken

    def _tell(self, line: str) -> None:
        try:
            os.write(self._control, f"{line}\n".encode())
        except OSError:  # nobody listens any more
            return


def _heard(*_: object) -> None:
    """Let the wake-up descriptor speak for the signal."""


def _let_streams_go() -> None:
    """Keep no copy of the CLI's streams, so that whoever reads them sees their end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.close(nothing)


def _bound_cpu(cpu_s: int) -> int:
    """Have the kernel send SIGXCPU to whatever is started from now on and works so long; the bound before."""
    import resource  # noqa: PLC0415 - most programs have no such bound

    before, hard = resource.getrlimit(resource.RLIMIT_CPU)
    lowest = min(bound for bound in (cpu_s, before, hard) if bound != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_CPU, (lowest, hard))
    return before


def _unbound_cpu(before: int) -> None:
    import resource  # noqa: PLC0415 - loaded already

    resource.setrlimit(resource.RLIMIT_CPU, (before, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _stand_back(session: int, nice: int) -> None:
    """Say it of the CLI's session too: some kernels share out the processor among sessions first."""
    try:
        with open(f"/proc/{session}/autogroup", "w") as group:  # noqa: PTH123 - pathlib is slow to load
            group.write(str(nice))
    except OSError:  # not such a kernel, or asked too often
        return


def _children() -> list[int]:
    me = os.getpid()
    try:
        with open(f"/proc/self/task/{me}/children") as listed:  # noqa: PTH123 - pathlib is slow to load
            return [int(pid) for pid in listed.read().split()]
    except OSError:  # a kernel without this list
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib is slow to load
        return [int(name) for name in names if name.isdigit() and _parent(name) == me]


def _parent(pid: str) -> int:
    """The parent as `/proc/PID/stat` has it after the name, which may hold any character; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123 - as above
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _remove(folder: str) -> None:
    import shutil  # noqa: PLC0415 - slow to load, and not wanted before the end

    shutil.rmtree(folder, ignore_errors=True)


def _adopt() -> None:
    """Ask the kernel to give descendants that lose their parent to this process, not to the first of all."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, *(ctypes.c_ulong(number) for number in (1, 0, 0, 0)))


def main() -> None:
    """Guard the program that the arguments name."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)  # noqa: FBT003 - the standard library's own
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    _adopt()
    Guard(control, nice=int(sys.argv[3]), cpu_s=int(sys.argv[4])).run(sys.argv[5:])
    if sys.argv[2]:
        _remove(sys.argv[2])


if __name__ == "__main__":
    main()
