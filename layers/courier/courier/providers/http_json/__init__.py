"""The provider ``http_json``: any API that starts a job, reports its status and offers a file, described as data.

A definition is a value of the models in `definition`. JMESPath reads responses (`expressions`), placeholders write
requests (`placeholders`); nothing else is computed. Nothing of this package is imported before a source names
``provider: http_json``.
"""
