"""Messages on a grid of effects: the exact engine's kernel for study likelihoods and study effects of any form."""
