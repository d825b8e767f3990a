"""Who moves next, and the overlay route that moves them."""
