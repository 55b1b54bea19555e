"""Recorded predictions as files: what the serving side writes and monitoring reads.

`rows` is the message that the spool holds, `tables` its form in Arrow, `files` where tables lie in the
artifact store, `pseudonyms` how a person's name is kept without being known.
"""
