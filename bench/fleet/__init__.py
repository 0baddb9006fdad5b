"""Sweeps over many machines, through Dask distributed: whoever runs its workers lends machines.

The unit is one workload with all implementations. A Dask worker takes one at a time (its resource
`slot`), runs it as a command of its own in the environment that the worker has (so that
`CUDA_VISIBLE_DEVICES` or `taskset` pin it), and sends the run file back. Machines are kept apart by
what they are: every kind measures the whole plan and gets a run file of its own. A unit whose
worker is lost runs again on another one of the same kind, one that joins later included; what
arrives first counts, once. A kind whose last worker stays away ends its part after a while, and the
same command goes on with what is unfinished.
"""
