"""The copy: from a link that a provider returns into S3, complete and verified, or nothing at all.

The modules in reading order. `functions/copy_artifact/app.py` and `courier.usecases.copy_artifact` call the first;
`courier.usecases.record_outcome` calls `upload_cleanup` for the uploads of a copy that was given up::

    copy            the public `copy`: what it takes and raises
    copy_job        the course of one copy: how to begin, when to resume, pause or start over
    download        the first response, exact parts under If-Match, retries, one plain GET where ranges fail
    http_client     GET over pinned connections: redirects, TLS
    content         content type and coding, as readers judge them; length
    parts           parts in parallel or one after another, each hashed, uploaded and counted
    publisher       the end of a copy: published once under its key, and proven
    s3_object       every S3 operation

Called by them, each for one decision::

    ranges          what a store makes of a request for a range
    link_refresh    a fresh link when one is refused
    http_response   the head of a response as servers really send it, exact reads
    url_policy      the hosts and addresses that a link may have
    end_marks       how formats end
    s3_calls        one call to S3: retried, proven, errors mapped
    upload_cleanup  the other end of an upload: aborted and swept
    options         data: options, expectations, destination, plan of the parts, deadline
    checkpoint      data: what an unfinished copy leaves for the next invocation

This package imports none of them, so that aborting an upload does not load the download.
"""
