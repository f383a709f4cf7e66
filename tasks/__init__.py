"""What one step of the paper does: a plain function under a thin Prefect task. Tasks do not import each other."""
