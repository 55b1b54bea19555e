"""One process holds the engines of a device; the HTTP workers of the machine share it.

On a GPU each worker's own copy of a model would cost its memory again, and calls of several
processes would not batch together. So the workers send their batches to the engine host over a Unix
socket, the arrays through shared memory, and it joins what comes from all of them. To the rest of
serving a hosted engine is an engine like any other.
"""
