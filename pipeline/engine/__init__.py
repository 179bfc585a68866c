"""Exactly-once chunks on Faust: assignment, transactions, changelog, ticks.

Here lives all knowledge of Kafka's transactions and Faust's insides. Here may not live: anything about calls.

    step        what a job gives: Stage, Step, Batch          worker      build the Faust app, run the process
    driver      our consumer under Faust: fetches, positions  engine      what the group assigns and takes back
    partition   one task per input partition, on its          queue, ledger, writer, changelog, barrier
"""
