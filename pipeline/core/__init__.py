"""What is true: events, legs, calls, verdicts, tallies.

Here live values and functions of their arguments. Here may not live: a clock, I/O, logging, randomness, Kafka, Faust,
or the name of any switch.
"""

from pipeline.compiled import path_of_core

__path__ = path_of_core(__path__)
