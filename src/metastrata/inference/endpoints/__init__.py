"""Several endpoints at once: the effects of a study as a block, and the joint model they belong to."""
