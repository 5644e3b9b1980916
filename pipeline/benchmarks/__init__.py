"""What `gcl bench` measures: one module a part, `pipeline/bench.py` runs them."""
