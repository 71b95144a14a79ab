"""Benchmarks: each figure beside the same work done by the client library alone, in the same run."""
