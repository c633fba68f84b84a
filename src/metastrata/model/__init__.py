"""What is assumed: priors, the model, the plan."""
