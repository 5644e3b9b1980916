"""The commands of the command line, in two files: those of the stages, and the tools beside them."""
