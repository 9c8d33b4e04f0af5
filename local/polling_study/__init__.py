"""A simulation of waiting: what a beat costs and how late it notices, before a single build is run.

``durations``   how long builds take
``limits``      the best that any beat could do, computed for known durations
``trace``       builds that start and end, and what is known of those before them
``watchers``    those who wait: the ticking poller with any beat, and the Job-Poller loop
``prices``      list prices and what a run costs
``study``       several watchers side by side over one world
``curves``      the lines and marks of the chart
``chart``       lag against requests, as SVG
"""
