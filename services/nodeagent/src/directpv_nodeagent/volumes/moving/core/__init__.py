"""When to look again, what rsync's words mean: decisions without I/O."""
