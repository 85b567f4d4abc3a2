"""Training on top of MXNet's Module. Nothing here knows what the network is."""
