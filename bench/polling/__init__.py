"""Polling, measured on the embedded AWS: counted from real executions and invocations, not from a formula.

``measuring_client``  the runtime client of one sandbox: runs a handler and measures each invocation
``sandboxes``         the pool of sandboxes, which provides the embedded AWS with handlers
``capacity``          DynamoDB units of every request, from the sizes of items and index entries
``bill``              usage in the units of the price list
``lifecycle``         the whole lifecycle of builds, on a clock that stops while anything works
``loop_lifecycle``    the same for the loop of Wait, Task and Choice in ``job_poller``
``idle``              minutes in which nothing is due
``load_test``         one tick over ten thousand builds in flight of fifty sources
``report``            the tables
"""
