"""What a received message costs while filters, proxies and tables are not used."""

from benchmarks.bench_session import measure_ours

MAX_CALLS = 350
"""Of Python functions, with those of the session that stands for a client: some 65. It was 338 when
this was written; what is switched off must cost nothing here."""


def test_a_message_costs_few_calls() -> None:
    """CPU varies with what else the machine does; the calls do not."""
    assert measure_ours(20).calls <= MAX_CALLS
