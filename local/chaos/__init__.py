"""Fault injection: an independent checker verifies the courier's promises after every injected fault.

``checker``            the promises, each checked over the evidence of a run
``evidence``           the evidence, as plain data
``leaks``              the search for secrets in it
``scenarios``          small scenarios that together pass every place with an external effect
``scenario_facts``     keys, links, builds and scopes of a scenario
``experiments``        one fault in one scenario, and its result
``experiment_runner``  one embedded AWS for many experiments, on virtual time
``virtual_time``       the clock of the experiments
``exchange_hooks``     every HTTP exchange of a function: the kill points
``fault_injectors``    kills, lost responses, throttling, repeated and late events
``single_faults``      one experiment per kill point and kind of AWS fault
``provider_faults``    one experiment per fault of providers and their object stores
``storms``             200 builds, and all faults at random
``campaign``           the list of experiments, and shares of it
``chaos_run``          ``courier run`` with injected faults
"""
