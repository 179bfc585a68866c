"""What did they say: one package per switch, bytes -> tuple[LegEvent, ...].

Here lives all knowledge of a switch's formats. Here may not live: a verdict, state, or one vendor's use of another.
"""
