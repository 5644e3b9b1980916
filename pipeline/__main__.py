"""The command line: ``gcl``, and as DVC's stages call it ``python -m pipeline``, the code in the working directory."""

from pipeline.running.stopping import stop_at_once


def main() -> None:
    """Runs the command line. Nothing is imported before the signals are seen to."""
    stop_at_once()
    from pipeline.cli import main

    main()


# Worker processes import this module again.
if __name__ == "__main__":
    main()
