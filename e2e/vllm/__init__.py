"""vLLM for real, on CPUs: its image, checkpoints in the formats it reads, and what stands before Bitshift is heard of."""
