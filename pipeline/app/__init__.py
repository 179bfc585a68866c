"""The wiring: topics, codec, the three agents, telemetry, the worker.

Here rooms meet. Here may not live: an `if` about calls (that is core) or about transactions (that is engine).
"""
