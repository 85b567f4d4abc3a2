"""The commands of tools/weights.py."""
