"""What the API, `--json` and the pages show, under one set of names.

Times are seconds since the epoch (UTC), durations are seconds, sizes are bytes. A `text` or
`waiting` is a sentence for people; a `reason` is a code for programs.
"""
