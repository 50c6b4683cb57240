"""Grades in: the exercises of a saved notebook, checked in a process of their own.

It imports `checker`; nothing imports it but the commands.
"""
