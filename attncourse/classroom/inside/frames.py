"""What goes through the pipe: a length, a header in JSON, raw bytes. Nothing is ever unpickled.

    <u32 length of the header> <header> <raw bytes>

The header says how many raw bytes follow ("bytes"); tensors lie in them one after another. What
does not keep to this, or is larger than agreed, is a `Garbled`.
"""

import json
import math
import os
import queue
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

HEADER, BODY = 2**20, 64 * 2**20  # bytes: of a header; of all that comes out of one sandbox
DEEP = 8  # brackets within brackets
LOOK = 0.05  # seconds between two looks at what a program takes
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}
KINDS = {"tuple": tuple, "list": list}


class Garbled(Exception):
    """What came through the pipe is no frame, or is too large."""


class Crashed:
    """A call that ended in an error: its kind, and its text, cut."""

    def __init__(self, kind: str, text: str):
        self.kind, self.text = str(kind)[:100], str(text)[:2000]

    def __repr__(self) -> str:
        return f"{self.kind}: {self.text}"


class Named:
    """A value that is not sent, because it is a function or a module: which input of which
    trial of the record it is."""

    def __init__(self, group: str, index: int, name: str):
        self.group, self.index, self.name = group, index, name


class Unsendable(Exception):
    """A value of a type that does not go through the pipe."""


# ---------------------------------------------------------------- values


def packed(value: Any, body: bytearray, depth: int = 0) -> Any:
    """A value in the types of JSON; the numbers of its tensors are added to `body`."""
    if depth > DEEP:
        raise Unsendable("too many brackets within each other")
    if isinstance(value, Tensor):
        return _packed_tensor(value, body)
    if isinstance(value, Crashed):
        return {"error": [value.kind, value.text]}
    if isinstance(value, Named):
        return {"named": [value.group, value.index, value.name]}
    if value is None or type(value) in (bool, str):
        return {"is": value}
    if type(value) is int:
        return {"int": str(value)}
    if type(value) is float:
        return {"float": value.hex()}
    for name, kind in KINDS.items():
        if isinstance(value, kind):
            return {name: [packed(part, body, depth + 1) for part in value]}
    if isinstance(value, Mapping):
        return {"dict": [[str(k), packed(v, body, depth + 1)] for k, v in value.items()]}
    raise Unsendable(f"a value of type {type(value).__name__}")


def _packed_tensor(value: Tensor, body: bytearray) -> Any:
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES or value.layout != torch.strided or value.device.type != "cpu":
        raise Unsendable(f"a tensor of {value.dtype}, {value.layout}, on {value.device}")
    if value.numel() * value.element_size() > BODY:
        raise Unsendable(f"a tensor of shape {tuple(value.shape)}, which is too large")
    plain = value.detach().resolve_conj().resolve_neg().contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    packed = {"tensor": [name, list(value.shape), len(body), len(raw)]}
    body += raw
    return packed


def unpacked(data: Any, body: bytes, depth: int = 0, taken: list[int] | None = None) -> Any:
    """The value again. Raises Garbled for whatever is not one. `taken`: the lengths of its
    tensors so far, which together are no longer than `body`, for they do not overlap."""
    taken = [] if taken is None else taken
    if depth > DEEP or not isinstance(data, dict) or len(data) != 1:
        raise Garbled("not a value")
    ((kind, inner),) = data.items()
    if kind == "tensor":
        return _unpacked_tensor(inner, body, taken)
    if kind == "is" and (inner is None or isinstance(inner, bool | str)):
        return inner
    if kind == "int" and isinstance(inner, str) and len(inner) < 200:
        return int(inner)
    if kind == "float" and isinstance(inner, str) and len(inner) < 100:
        return float.fromhex(inner)
    if kind == "error" and _all(inner, 2, str):
        return Crashed(*inner)
    if kind == "named" and isinstance(inner, list) and len(inner) == 3:
        return Named(*inner)
    if kind in KINDS and isinstance(inner, list):
        return KINDS[kind](unpacked(part, body, depth + 1, taken) for part in inner)
    if kind == "dict" and isinstance(inner, list):
        pairs = [pair for pair in inner if isinstance(pair, list) and len(pair) == 2]
        return {str(k): unpacked(v, body, depth + 1, taken) for k, v in pairs}
    raise Garbled("not a value")


def _all(inner: Any, many: int, kind: type) -> bool:
    return (
        isinstance(inner, list)
        and len(inner) == many
        and all(isinstance(one, kind) for one in inner)
    )


def _unpacked_tensor(inner: Any, body: bytes, taken: list[int]) -> Tensor:
    """A tensor of the lengths that it says, within the bytes that there are."""
    name, shape, start, length = (
        inner if isinstance(inner, list) and len(inner) == 4 else [0] * 4
    )
    whole = isinstance(shape, list) and len(shape) <= 32 and isinstance(name, str)
    if not (whole and all(type(n) is int and n >= 0 for n in (*shape, start, length))):
        raise Garbled("not a tensor")
    taken.append(length)
    if name not in DTYPES or start + length > len(body) or sum(taken) > len(body):
        raise Garbled("not a tensor")
    count, dtype = math.prod(shape), DTYPES[name]
    if count * dtype.itemsize != length or max(shape, default=0) > BODY:
        raise Garbled("not a tensor")
    if not count:
        return torch.empty(shape, dtype=dtype)
    raw = bytearray(body[start : start + length])
    if dtype == torch.bool and any(raw.translate(None, b"\0\1")):
        raise Garbled("not truth values")
    return torch.frombuffer(raw, dtype=dtype).reshape(shape)


# ---------------------------------------------------------------- frames


def frame(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    text = json.dumps({**header, "bytes": len(body)}).encode()
    return struct.pack("<I", len(text)) + text + bytes(body)


class Reader:
    """Frames from a pipe, as they come, within limits."""

    def __init__(self, fd: int, header: int = HEADER, body: int = BODY):
        self.header, self.most = header, body + header
        self.buffer = bytearray()
        self.head: dict[str, Any] | None = None  # of the frame whose body comes
        self.come: queue.Queue[bytes | None] = queue.Queue(64)
        self.over = threading.Event()
        self.look = 0.0
        own = os.dup(fd)  # whose number is nobody else's until the thread is done with it
        threading.Thread(target=self._fill, args=(own,), daemon=True).start()

    def _fill(self, fd: int) -> None:
        """In a thread of its own: no system waits for pipes as all others do."""
        try:
            while not self.over.is_set() and (more := os.read(fd, 2**16)):
                self._put(more)
        except OSError:
            pass
        finally:
            os.close(fd)
        self._put(None)

    def _put(self, more: bytes | None) -> None:
        while not self.over.is_set():
            try:
                return self.come.put(more, timeout=0.2)
            except queue.Full:
                continue

    def close(self) -> None:
        """Nothing more is read."""
        self.over.set()

    def read(self, seconds: float, watch: Callable[[], None] = lambda: None) -> Any:
        """The next frame as (header, body); None where the pipe is closed. Meanwhile `watch` is
        called now and then, whether bytes come or not, and may raise. Raises Garbled,
        TimeoutError."""
        until = time.monotonic() + seconds
        while (found := self._whole()) is None:
            if (now := time.monotonic()) >= self.look:
                watch()
                if now > until:
                    raise TimeoutError
                self.look = time.monotonic() + LOOK
            try:
                more = self.come.get(timeout=LOOK)
            except queue.Empty:
                continue
            if more is None:
                self.come.put(None)
                return None
            self.most -= len(more)
            if self.most < 0:
                raise Garbled("it sends more than it may")
            self.buffer += more
        return found

    def _whole(self) -> tuple[dict[str, Any], bytes] | None:
        if len(self.buffer) < 4:
            return None
        (length,) = struct.unpack_from("<I", self.buffer)
        if length > self.header:
            raise Garbled(f"a header of {length} bytes")
        if len(self.buffer) < 4 + length:
            return None
        try:
            self.head = self.head or json.loads(bytes(self.buffer[4 : 4 + length]))
            header, size = self.head, self.head["bytes"]
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise Garbled(f"no header: {type(error).__name__}") from None
        if type(size) is not int or not 0 <= size <= self.most + len(self.buffer):
            raise Garbled("a length that cannot be")
        if len(self.buffer) < 4 + length + size:
            return None
        body = bytes(self.buffer[4 + length : 4 + length + size])
        del self.buffer[: 4 + length + size]
        self.head = None
        return header, body


def write(fd: int, data: bytes) -> None:
    """All of it, whatever the pipe takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
