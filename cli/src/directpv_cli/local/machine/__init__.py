"""What this machine has of a stack: loop devices and mounts, processes, ports, places where volumes are shown.

Only here devices, mounts and processes are made and taken away; ``tests/stack/test_processes.py`` and
``tests/stack/test_down.py`` show it.
"""
