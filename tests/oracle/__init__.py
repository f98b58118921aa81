"""A slow, literal float64 implementation of the method, and what it is compared on."""
