"""CSI requests to messages of the bus and replies back: pure, no I/O."""
