"""Landlock: the kernel refuses this process files, TCP and signals outside of what is named."""

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE, ADD, RESTRICT = 444, 445, 446  # the same on all architectures
NO_NEW_PRIVS, PATH_BENEATH, VERSION = 38, 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FIRST, REFER, TRUNCATE, IOCTL = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL  # what makes sense for no folder


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Which version of Landlock this kernel has; 0 where it has none."""
    found = _libc().syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION))
    return max(found, 0)


def restrict(read: Iterable[str], look: Iterable[str], write: Iterable[str]) -> None:
    """From here on only what lies beneath `read` may be read and run, the folders beneath
    `look` listed, and what lies beneath `write` changed. Raises OSError."""
    abi = version()
    files = FIRST | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0)
    files |= IOCTL if abi >= 5 else 0
    network = 3 if abi >= 4 else 0  # no TCP, neither bound nor connected
    scoped = 3 if abi >= 6 else 0  # no signals and no abstract sockets to the outside
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = struct.pack("<QQQ", files, network, scoped)[:size]
    rules = _call(CREATE, ruleset, ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for paths, rights in ((read, READ), (look, READ_DIR), (write, files & ~EXECUTE)):
            for path in paths:
                _allow(rules, path, rights)
        if _libc().prctl(NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        _call(RESTRICT, ctypes.c_int(rules), ctypes.c_uint(0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there need not be allowed
    try:
        if not os.path.isdir(path):
            rights &= ON_FILES
        if rights:
            rule = struct.pack("<Qi", rights, fd)
            _call(ADD, ctypes.c_int(rules), PATH_BENEATH, rule, ctypes.c_uint(0))
    finally:
        os.close(fd)


def _call(number: int, *arguments) -> int:
    found = _libc().syscall(number, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "landlock")
    return found
