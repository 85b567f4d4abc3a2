"""What runs the network of tools/predict.py: MXNet or onnxruntime."""
