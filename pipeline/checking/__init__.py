"""The command `gcl check`: what `gcl.checks` found, on a page of plain words."""
