"""Benchmarks: `make bench`. Each bench_*.py measures beside the software that people run today."""
