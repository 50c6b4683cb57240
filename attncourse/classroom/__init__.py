"""Assignments out, grades in: what students are given, and what they hand in.

It imports `checker` and `book`; nothing imports it but the commands.
"""
