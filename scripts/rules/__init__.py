"""The house rules: each a function from a `Case` to findings, one line each.

`tests/template` plants a fault for each one and sees it caught.
"""
