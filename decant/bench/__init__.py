"""Benchmarks of the whole project: each drives its commands in clones and writes what it found."""
