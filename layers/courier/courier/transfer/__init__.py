"""The copy: from a link that a provider hands out into S3, complete and proven, or nothing at all.

::

    copy         the public `copy`
    terms        what the caller may say: options, expectations
    copier       the course of one copy: which way, and when to pause
    parallel     parts by several workers         stream       one connection, for sources without ranges
    source       the first look, exact parts      answers      what the head of an answer says
    fresh_links  another link when one dies       connection   the bare HTTP client
    rules        which hosts and addresses        bounds       how many bytes
    proof        content, the hash in order       sink         hash, checksum and count parts
    storage      every call to S3                 destination  the key, and what lies there
    publish      conditional create, once         uploads      none is left behind
    plan         parts and memory                 deadline, backoff, checkpoint, signals
"""
