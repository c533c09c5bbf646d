"""Composition root."""


def main() -> None:
    """Run the service."""
