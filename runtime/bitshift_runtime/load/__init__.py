"""The Job that sends candidate and baseline the same arrivals and delivers the load gate's verdict."""
