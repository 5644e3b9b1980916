"""What makes the graph loss fast on a CPU: large matrix products, derivatives written out, stacked weights."""
