"""One module per group of verbs; imported only when the verb runs, so that ``--help`` stays quick."""
