"""What runs tell MLflow, and what is kept for it while it is away."""
