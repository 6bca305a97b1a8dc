"""`python -m s3sync_cli`, `s3sync` and, as kubectl's plugin, `kubectl s3sync`."""

from s3sync_cli.app import COMPLETE_VARIABLE, app


def main() -> None:
    """Run the command of the command line."""
    app.main(prog_name="s3sync", complete_var=COMPLETE_VARIABLE)


def kubectl_main() -> None:
    """Run the command of kubectl's command line."""
    app.main(prog_name="kubectl s3sync", complete_var=COMPLETE_VARIABLE)


if __name__ == "__main__":
    main()
