"""The models that SMP is compared with, one file each; a new file here is a new model."""
