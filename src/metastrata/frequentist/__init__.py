"""The frequentist answer."""
