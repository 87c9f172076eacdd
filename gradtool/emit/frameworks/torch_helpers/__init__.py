"""Small PyTorch functions that an emitted module carries with it when it uses them."""
