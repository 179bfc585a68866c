"""Exactly-once chunks on Faust: assignment, transactions, changelog, ticks.

Here lives all knowledge of Kafka's transactions and Faust's insides. Here may not live: anything about calls.
"""
