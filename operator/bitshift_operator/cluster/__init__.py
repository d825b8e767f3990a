"""The only I/O of the operator: the API server, the data plane, the relay."""
