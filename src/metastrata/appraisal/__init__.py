"""Reading and doubting the posterior."""
