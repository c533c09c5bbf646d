"""Console script ``kubectl-directpv``."""

from directpv_cli.app import app
from directpv_cli.showing.ending import ended


def main() -> None:
    """Run the plugin; kubectl finds it as ``kubectl directpv``."""
    ended(lambda: app(prog_name="kubectl directpv"))


if __name__ == "__main__":
    main()
