"""What is wrong before anything runs: datasets, clips, models, the machine."""
