"""The stages of a dataset, their identities, and the plan of what has to run."""
