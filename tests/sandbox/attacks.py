"""What an attacker tries who runs native code in a child: a program that a test gives to a zygote.

The zygote executes this file with the standard library alone, as it is before it confines itself. Each
child then gets one frame: the attack's name and what it is aimed at; it says how the attack went, or dies.
"""

# ruff: noqa: PTH102, PTH108, PTH116, PTH208, PTH211, S606 - the system calls themselves are tried

import ctypes
import mmap
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import NamedTuple

from engine_mcp.sandbox.frames import Decoder, encode

CLONE_NEWUSER = 0x10000000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
IPC_RMID = 0
WRITE_AND_RUN = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
NUMBERS = {
    "x86_64": {"add_key": 248, "process_vm_readv": 310, "bpf": 321, "io_uring_setup": 425, "shmget": 29},
    "aarch64": {"add_key": 217, "process_vm_readv": 270, "bpf": 280, "io_uring_setup": 425, "shmget": 194},
}[os.uname().machine]

libc = ctypes.CDLL(None, use_errno=True)


class Target(NamedTuple):
    """What the server owns: a process, a directory anybody may write, sockets, an address in its memory."""

    pid: int
    folder: str
    tcp: int
    udp: int
    abstract: str
    address: int


def done(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(name: str, *arguments: object) -> int:
    # As whole words: of an argument on the stack, a plain number would fill only half.
    words = (ctypes.c_long(it) if isinstance(it, int) else it for it in arguments)
    return done(int(libc.syscall(ctypes.c_long(NUMBERS[name]), *words)))


def read_file(target: Target) -> None:
    os.read(os.open(f"{target.folder}/secret", os.O_RDONLY), 1)


def write_file(target: Target) -> None:
    os.write(os.open(f"{target.folder}/written", os.O_WRONLY | os.O_CREAT), b"x")


def list_directory(target: Target) -> None:
    os.listdir(target.folder)


def look_at_file(target: Target) -> None:
    os.stat(f"{target.folder}/secret")


def make_directory(target: Target) -> None:
    os.mkdir(f"{target.folder}/made")


def remove_file(target: Target) -> None:
    os.unlink(f"{target.folder}/victim")


def link_file(target: Target) -> None:
    os.symlink("/", f"{target.folder}/link")


def read_environment(target: Target) -> None:
    os.read(os.open(f"/proc/{target.pid}/environ", os.O_RDONLY), 1)


def connect_tcp(target: Target) -> None:
    socket.socket().connect(("127.0.0.1", target.tcp))


def send_udp(target: Target) -> None:
    socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", target.udp))


def connect_abstract(target: Target) -> None:
    socket.socket(socket.AF_UNIX).connect(f"\0{target.abstract}")


def make_sockets(_: Target) -> None:
    socket.socketpair()


def fork(_: Target) -> None:
    if os.fork() == 0:
        os._exit(0)


def execute(_: Target) -> None:
    if (pid := os.fork()) == 0:
        os.execv("/bin/true", ["true"])
    if os.waitpid(pid, 0)[1] != 0:
        raise PermissionError


def become_root_by_file(target: Target) -> None:
    """Run a file that belongs to root and says that whoever runs it shall be root."""
    if (pid := os.fork()) == 0:
        os.execv(f"{target.folder}/rooted", ["rooted", "-p", "-c", "exit $(id -u)"])
    if os.waitpid(pid, 0)[1] != 0:
        raise PermissionError


def become_root(_: Target) -> None:
    os.setresuid(0, 0, 0)


def signal_server(target: Target) -> None:
    os.kill(target.pid, signal.SIGURG)


def renice_server(target: Target) -> None:
    os.setpriority(os.PRIO_PROCESS, target.pid, 19)


def limit_server(target: Target) -> None:
    resource.prlimit(target.pid, resource.RLIMIT_CORE, (0, 0))


def trace_server(target: Target) -> None:
    done(int(libc.ptrace(PTRACE_ATTACH, target.pid, None, None)))
    os.waitpid(target.pid, 0)
    libc.ptrace(PTRACE_DETACH, target.pid, None, None)


def trace_zygote(_: Target) -> None:
    zygote = os.getppid()
    done(int(libc.ptrace(PTRACE_ATTACH, zygote, None, None)))
    os.waitpid(zygote, 0)
    libc.ptrace(PTRACE_DETACH, zygote, None, None)


def read_server_memory(target: Target) -> None:
    here, there = (ctypes.c_size_t * 2)(), (ctypes.c_size_t * 2)(target.address, 1)
    room = ctypes.create_string_buffer(1)
    here[0], here[1] = ctypes.addressof(room), 1
    syscall("process_vm_readv", target.pid, here, 1, there, 1, 0)


def map_code(_: Target) -> None:
    mmap.mmap(-1, 4096, prot=WRITE_AND_RUN)


def protect_code(_: Target) -> None:
    page = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    done(int(libc.mprotect(ctypes.c_void_p(address), 4096, WRITE_AND_RUN)))


def make_memory_file(_: Target) -> None:
    os.memfd_create("x")


def lock_memory(_: Target) -> None:
    page = mmap.mmap(-1, 4096)
    done(int(libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page))), 4096)))


def share_memory(_: Target) -> None:
    segment = syscall("shmget", 0, 4096, 0o1600)
    done(int(libc.shmctl(segment, IPC_RMID, None)))


def unshare_user(_: Target) -> None:
    done(int(libc.unshare(CLONE_NEWUSER)))


def keep_key(_: Target) -> None:
    syscall("add_key", b"user", b"engine-mcp-test", b"x", 1, -1)


def set_up_ring(_: Target) -> None:
    syscall("io_uring_setup", 1, ctypes.create_string_buffer(256))


def change_root(target: Target) -> None:
    os.chroot(target.folder)


ATTACKS: dict[str, Callable[[Target], None]] = {
    attack.__name__: attack
    for attack in (
        read_file,
        write_file,
        list_directory,
        look_at_file,
        make_directory,
        remove_file,
        link_file,
        read_environment,
        connect_tcp,
        send_udp,
        connect_abstract,
        make_sockets,
        fork,
        execute,
        become_root_by_file,
        become_root,
        signal_server,
        renice_server,
        limit_server,
        trace_server,
        trace_zygote,
        read_server_memory,
        map_code,
        protect_code,
        make_memory_file,
        lock_memory,
        share_memory,
        unshare_user,
        keep_key,
        set_up_ring,
        change_root,
    )
}


def work(channel: socket.socket, held: str) -> None:
    """Be a child: say ready, take one attack, say whether it was allowed."""
    channel.sendall(encode("R", held, "0"))
    (frame,) = Decoder(4096).feed(channel.recv(4096))
    name, pid, folder, tcp, udp, abstract, address = frame.parts
    target = Target(int(pid), folder, int(tcp), int(udp), abstract, int(address))
    try:
        ATTACKS[name](target)
    except (OSError, MemoryError) as error:
        channel.sendall(encode("A", "refused", ascii(error)))
    else:
        channel.sendall(encode("A", "allowed", ""))
    channel.recv(1)
