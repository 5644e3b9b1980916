"""The commands of the command line: the stages, experiments, anybody's pictures, and the other tools."""
