"""What wakes the operator, and the four steps of one turn."""
