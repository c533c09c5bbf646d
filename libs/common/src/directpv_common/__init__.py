"""What every DirectPV service shares; knows no service and decides nothing."""

__version__ = "0.1.0"
