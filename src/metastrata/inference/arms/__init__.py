"""Events in the arms of trials and in single arms, in one model with exchangeable baselines; likelihoods exact.

problem     arms, trials, priors
levels      the likelihood of an arm, its level integrated out
trials      that of a trial given the means, with baseline and effect integrated out
solve       integration over the two means and the two SDs; posterior: what is read off
"""
