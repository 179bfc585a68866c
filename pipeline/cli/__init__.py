"""The commands, one file each: they read arguments, ask another room, and print what it answers.

Here may not live: an answer.
"""
