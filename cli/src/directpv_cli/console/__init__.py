"""The web console: drives, volumes and nodes on one screen, served on loopback to the user who started it.

``core`` says what the pages show, ``serving`` asks the bus and answers browsers. Shown by ``tests/console``.
"""
