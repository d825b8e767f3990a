"""The real scheduler, on nodes that only look like GPU nodes: it must place pods where a plan said that they fit."""
