"""How far an engine's start is and why it fails, told from its log; what it reports, held against the plan."""
