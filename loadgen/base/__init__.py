"""Shared basics that every package may import, and that import no other package of loadgen."""
