"""The pass-through in front of both arms of a rollout: it streams every byte on at once and counts what came of it."""
