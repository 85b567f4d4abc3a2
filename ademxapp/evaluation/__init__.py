"""Testing: the network's forward pass, score maps, scores, pictures."""
