"""The copy against what else moves a file from a URL into S3, side by side: ``python -m bench.copy``.

::

    __main__     the command: sizes, rounds, order, the report
    servers      a TLS source and a null S3 sink on loopback, started and stopped here
    contestants  who takes part, what each needs, and how it is started
    worker       one Python contestant in a process of its own, asked for one copy after another
    measure      wall time, CPU and peak memory of processes
    results      medians, ratios and targets
    report       the tables
"""
