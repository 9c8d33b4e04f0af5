"""The copy compared with other tools that move a file from a URL into S3: ``python -m bench.copy``.

::

    __main__     the command: sizes, rounds, order, the report
    servers      a TLS source and a null S3 sink on loopback
    contestants  the compared tools, what each needs, and how it is started
    worker       one Python contestant in a process of its own, which makes one copy after another
    measure      wall time, CPU and peak memory of processes
    limits       the speed of one connection, and the CPU time that any copy needs
    results      medians, ratios and targets
    report       the tables
"""
