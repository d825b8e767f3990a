"""One turn: all that is observed, the phase table, and the plan it returns."""
