"""The server's end of a socket that carries frames, on the event loop."""

import socket
from collections.abc import Iterator

import anyio

from engine_mcp.sandbox.frames import Decoder, Frame

CHUNK = 1 << 16


class Channel:
    """Frames over a stream socket that it owns; one reader, any number of writers."""

    def __init__(self, sock: socket.socket, *, largest: int) -> None:
        """Take over `sock`; no frame that comes in may be larger than `largest` bytes."""
        sock.settimeout(0)
        self._socket = sock
        self._decoder = Decoder(largest)
        self._writing = anyio.Lock(fast_acquire=True)

    async def receive(self) -> Iterator[Frame] | None:
        """Wait for bytes and give the frames they complete; None at the end of the stream.

        Iterating raises `frames.BadFrame` where the bytes are not frames.
        """
        while True:
            try:
                chunk = self._socket.recv(CHUNK)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            except ConnectionError:
                return None
            else:
                return self._decoder.feed(chunk) if chunk else None

    async def send(self, frames: bytes, descriptor: int | None = None) -> None:
        """Send frames whole, and a descriptor with the first byte. Raises ConnectionError at its end."""
        async with self._writing:
            if descriptor is not None:
                frames = frames[socket.send_fds(self._socket, [frames], [descriptor]) :]
            left = memoryview(frames)
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._socket)

    def close(self) -> None:
        """Close the socket; nobody may be waiting for it."""
        self._socket.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a stream, neither inherited by other processes."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
