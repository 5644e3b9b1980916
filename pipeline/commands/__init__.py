"""The commands of the command line, in two files: the stages, and the other tools."""
