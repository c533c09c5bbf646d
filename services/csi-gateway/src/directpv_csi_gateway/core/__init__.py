"""CSI messages to ours and back, without I/O."""
