"""``python -m pipeline``: the command line of the code in the working directory, as DVC's stages call it."""

from pipeline.cli import main

# Worker processes import this module again.
if __name__ == "__main__":
    main()
