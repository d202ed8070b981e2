"""The bundle: the format of courses on the wire, its writer and its reader.

No network and no server; docs/format.md is the law this package follows.
"""
