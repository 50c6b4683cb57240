"""A filter of system calls: no network, no new namespaces, no look into other processes.

It refuses what the rungs of the ladder leave open, or open in part: UDP under Landlock, user
namespaces within bubblewrap, memory that belongs to no file. Known for two architectures; on
others it is left out, and says so.
"""

import ctypes
import errno
import platform
import struct

# system calls that are refused: their numbers on x86_64, on aarch64
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "socket": (41, 198),  # of any kind; socketpair stays
}
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE, CLONE3 = (56, 220), (435, 435)
NAMESPACES = 0x7E020000  # the flags of clone that make new ones, without that of time
ALLOW, KILL, ERRNO, FILTER, NO_NEW_PRIVS, SET = 0x7FFF0000, 0x80000000, 0x00050000, 2, 38, 22


def _line(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, k)


def _load(at: int) -> bytes:
    return _line(0x20, at)


def _return(what: int) -> bytes:
    return _line(0x06, what)


def _refuse(number: int, error: int) -> bytes:
    return _line(0x15, number, 0, 1) + _return(ERRNO | error)


def program(machine: str) -> bytes | None:
    """The filter for an architecture; None where its numbers are not known."""
    if machine not in ARCHITECTURES:
        return None
    which, name = ARCHITECTURES[machine]
    lines = _load(4) + _line(0x15, name, 1, 0) + _return(KILL) + _load(0)
    if machine == "x86_64":  # its second set of numbers
        lines += _line(0x35, 0x40000000, 0, 1) + _return(KILL)
    for numbers in REFUSED.values():
        lines += _refuse(numbers[which], errno.EPERM)
    lines += _refuse(CLONE3[which], errno.ENOSYS)  # then libraries take clone
    lines += _line(0x15, CLONE[which], 0, 4) + _load(16)
    lines += _line(0x45, NAMESPACES, 0, 1) + _return(ERRNO | errno.EPERM) + _return(ALLOW)
    return lines + _return(ALLOW)


def restrict() -> bool:
    """From here on these calls fail. Returns whether the filter is known here."""
    code = program(platform.machine())
    if code is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    kept = ctypes.create_string_buffer(code)
    filter = struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(kept))
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(SET, FILTER, filter, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")
    return True
