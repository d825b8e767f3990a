"""The product's main job, shown for real: `python -m e2e.demo`."""
