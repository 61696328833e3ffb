"""sendmail(1): a program of this machine hands in a message, whether the node runs or not.

What is here is loaded for each message that cron or PHP sends: it loads no dataclasses, no msgspec
and no tomllib, each of which takes longer than the rest of the work.
"""
