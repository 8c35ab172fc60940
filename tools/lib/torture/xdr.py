"""XDR as NFSv3 needs it (RFC 4506): big-endian words, and opaque data padded to four bytes."""

from __future__ import annotations

import struct


def uint32(value: int) -> bytes:
    return struct.pack(">I", value)


def uint64(value: int) -> bytes:
    return struct.pack(">Q", value)


def opaque(data: bytes) -> bytes:
    """Variable-length opaque data, which strings are, too."""
    return uint32(len(data)) + data + bytes(-len(data) % 4)


class Decoder:
    """Reads one message from its beginning to its end."""

    def __init__(self, message: bytes) -> None:
        self.message = memoryview(message)
        self.position = 0

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.fixed(struct.calcsize(form)))

    def uint32(self) -> int:
        return self.unpack(">I")[0]

    def uint64(self) -> int:
        return self.unpack(">Q")[0]

    def fixed(self, length: int) -> bytes:
        if self.position + length > len(self.message):
            raise ValueError(f"{length} bytes are announced behind {self.position} of {len(self.message)}")
        data = bytes(self.message[self.position : self.position + length])
        self.position += length + -length % 4
        return data

    def opaque(self) -> bytes:
        return self.fixed(self.uint32())

    def finish(self) -> None:
        """What a result does not account for is as wrong as what it lacks."""
        if self.position != len(self.message):
            raise ValueError(f"{len(self.message) - self.position} bytes are left behind the result")
