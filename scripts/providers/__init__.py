"""The simulated vendors, checked against independent work: vendors' specifications, and vendors' own clients.

``make verify-providers`` runs it: `specification` puts a validating proxy between the courier and a simulated vendor,
and `clients`, in an environment of its own, lets the vendors' clients start, list, poll and fetch.
"""
