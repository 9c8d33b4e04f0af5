"""A simulation of polling strategies: what they cost and how late they notice the end of a build.

``durations``      distributions of build durations
``lower_bound``    the best that any strategy can do for known durations
``workload``       simulated builds and the history before them
``strategies``     the courier's poller with any polling interval, and the Job-Poller loop
``prices``         list prices, and the cost of a run
``comparison``     several strategies over the same workload
``chart``          lag against requests, as SVG (needs matplotlib)
"""
