"""Translates pictures that do not fit in memory: band of rows by band of rows, with the result of the whole."""
