"""Programs that judge the template and the state machine; `make verify`, and the light ones in `make check`."""
