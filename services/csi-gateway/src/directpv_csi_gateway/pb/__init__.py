"""The wire of CSI: ``csi.proto``, and the modules that ``scripts/proto`` writes from it."""
