"""callverdict: who won the race for a call, who lost it, and why, as a stream.

Rooms, in the order in which they may import each other (a room sees only what stands to its right):

    cli -> workbench -> app -> engine | vendors | settings -> core -> errors
"""
