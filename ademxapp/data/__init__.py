"""Lists, decoding, transforms, the loader, and the generated dataset. Only `loader` needs MXNet."""
