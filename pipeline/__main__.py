"""The entry point of the command line ``gcl``. DVC's stages call it as ``python -m pipeline``, which runs the code in
the working directory."""

from pipeline.running.stopping import stop_at_once


def main() -> None:
    """Runs the command line. The signals are dealt with before anything else is imported."""
    stop_at_once()
    from pipeline.cli import main

    main()


# Worker processes import this module again.
if __name__ == "__main__":
    main()
