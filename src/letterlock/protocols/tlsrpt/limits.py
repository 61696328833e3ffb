"""How much of a report is read: what is larger is refused, before it takes memory or time.

RFC 8460 §7 (hostile reports). Real reports have a few hundred octets for each failure that they
tell; gzip makes them 15 to 30 times as small.
"""

MAX_MAIL_OCTETS = 40 * 1024 * 1024
"""Of a mail or another file as it comes: 20 MiB in base64, with room."""
MAX_REPORT_OCTETS = 20 * 1024 * 1024
"""Of the JSON, and of each form of it on the way: packed, unpacked once, unpacked twice."""
MAX_JSON_DEPTH = 32
"""Objects and arrays within each other; a report has six."""
MAX_JSON_MEMBERS = 1_000_000
"""Of all objects and arrays together: a report of 20,000 failures has 180,000."""
MAX_POLICIES = 50_000
"""In one report; most have one or two."""
MAX_FAILURES = 150_000
"""Of all policies of a report that is not plain: 20 MiB of real ones are fewer."""
MAX_PACKED_LAYERS = 3
"""Of gzip and zip within each other."""
MAX_GZIP_MEMBERS = 100
MAX_ZIP_ENTRIES = 100
MAX_REPORTS = 20
"""In one mail or archive."""
