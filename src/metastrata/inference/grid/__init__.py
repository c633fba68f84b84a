"""The exact engine's kernel for study likelihoods and study effects of any form.

likelihoods   what one study says of its effect, as a sum of normals; sds, counts, correlations, parts: their pieces
kernels       how study effects scatter: scale mixtures of normals
branches      one stratum: its likelihood at every tau and mean
tree          strata joined through mu, or apart; stratum, contrasts, draws: what is read off
look          where to put the nodes; problem: what is to be integrated; kernel: its solution at each level
forms, setup  from a model and its effects to the problem
completion, dataset   draws of effects, correlations and replicates for either engine
"""
