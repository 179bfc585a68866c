"""What a person uses to try and measure: local Kafka, player, replay, demo, explain, bench.

Here may not live: anything that the worker needs.
"""
