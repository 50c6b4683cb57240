"""A program that nobody trusts, shut in as far as this machine can.

The rungs of the ladder, the best first; each is tried once, and the first that works is taken
and stands in every report:

    bubblewrap    a file system of its own, 64 MiB of it to write in; no processes but its own
    landlock      the kernel refuses files and signals outside
    user          another user's rights, where there is an administrator who gives them up
    none          nothing is held off; only when it is asked for by name

On all but the last: no network; limits of memory, processes, files and output; an unprivileged
user where the caller is root; nothing is left running. One touches `ladder` and `box`.
`confine` and what it imports run as a script before the program; they import nothing of ours.
"""
