"""What keeps the course in order: set-up, the work folder, JupyterLab, doctor, the test suite.

It may import every other room; nothing imports it but the commands.
"""
