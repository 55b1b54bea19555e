"""Data-parallel training: several processes share each batch, and learn the same from it.

The trainer leads (rank 0): it has the lease, the loop, the checkpoints and the evaluation. The other members of its
team are started by it, load the same data, build the same learner, and then do what it says: the rows of a step, a
learning rate, a state to load. Gradients are summed by the framework's own engine (`torch.distributed` with DDP,
`tf.distribute`), so a step gives what one process would give for the same batch.
"""
