"""What each verb does; imported only when the verb runs, so that ``--help`` stays quick.

Here the bus is asked and answers are shown; ``tests/stack`` runs them all against a stack.
"""
