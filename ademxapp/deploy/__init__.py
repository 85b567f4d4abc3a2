"""Networks outside of this program: other formats, and running them without MXNet."""
