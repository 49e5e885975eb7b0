"""What the model may ask for."""
