"""Waiting as it really runs: counted from executions and invocations on the embedded AWS, not from a formula.

``worker``      the process of one sandbox: loads a handler, runs it, says what that took
``sandboxes``   the processes, as the embedded AWS sees them: handlers
``capacity``    DynamoDB units of every request, by the sizes of items and index entries
``bill``        what was used, in the units of the price list
``lives``       whole lives of builds on a clock that stands still while something works
``job_poller``  the loop of Wait, Task and Choice, with the same providers
``idle``        minutes in which nothing is due
``crowd``       ten thousand builds in flight over fifty sources
``report``      the tables
"""
