"""Faults on purpose: what the courier promises, checked after every one of them by somebody who trusts nobody.

::

    checker        the promises, each over what a run left behind     evidence   that, as plain data
    laboratory     one embedded AWS for many experiments, on a clock that nobody waits for
    effects        every HTTP exchange of a function: the kill points
    disturbances   kills, lost answers, throttling, repeated and late events
    scripts        small worlds that come past every place with an outside effect
    walk           one experiment per kill point and kind of fault     storms     200 builds and everything at once
    matrix         what was measured, as a table
"""
