"""The mutation check: deliberate faults in the product, one at a time, each of which some test must find."""
