"""What `gcl bench` measures, with one module per part; ``bench.py`` runs them."""
