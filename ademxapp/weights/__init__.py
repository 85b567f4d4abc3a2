"""Weights: files of parameters, initial values, what fits what, other formats, the released ones."""
