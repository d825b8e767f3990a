"""How many bytes a release needs and which node has them."""
