"""What `tools/reproduce.py` is made of."""
