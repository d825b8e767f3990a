"""Our hands beside a model: the relay, and the Jobs that read, judge and load."""
