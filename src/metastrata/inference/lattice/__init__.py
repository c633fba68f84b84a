"""The fast kernel on uniform grids, for strata with a tau of their own."""
