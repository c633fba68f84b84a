"""From evidence and assumptions to the posterior."""
