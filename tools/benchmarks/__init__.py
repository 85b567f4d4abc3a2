"""The measurements of tools/bench.py. Each module has `add_arguments(command)` and `measure(args)`."""
