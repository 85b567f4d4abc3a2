"""What a network is and what it costs: layers, depth, parameters, multiply-adds, planned memory, speed."""
