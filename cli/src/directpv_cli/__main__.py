"""Console script ``kubectl-directpv``."""

from directpv_cli.app import app


def main() -> None:
    """Run the plugin; kubectl finds it as ``kubectl directpv``."""
    app(prog_name="kubectl directpv")


if __name__ == "__main__":
    main()
