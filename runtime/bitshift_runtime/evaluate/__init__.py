"""The Job that asks candidate and parent the same questions and delivers a gate's verdict."""
