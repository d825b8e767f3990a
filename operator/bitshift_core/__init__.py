"""What we know, pure: no clock, no network, no kopf. Facts go in, decisions come out."""
