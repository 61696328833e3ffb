"""What `letterlock check` says of domains, beside what a log says of deliveries to them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.journeys.running_node import PATIENCE, NodeFiles

OURS, POSTFIX_DANE = "dane-and-mta-sts", "postfix-dane"
"""Senders: what a node of ours is, and Postfix at level `dane`."""

_BY_WORD = {"Verified": "authenticated", "": "clear"}


def check_domains(files: NodeFiles, *domains: str) -> Mapping[str, Mapping[str, str]]:
    """Give the outcome for each of several domains and each sender. No mail is sent."""
    documents = check_documents(files, *domains)
    return {domain: find_outcomes(document) for domain, document in documents.items()}


def find_outcomes(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the outcome for each sender."""
    return {each["sender"]: each["outcome"] for each in document["verdicts"]}


def check_documents(files: NodeFiles, *domains: str) -> Mapping[str, Mapping[str, Any]]:
    """Give the document of each of several domains. No mail is sent."""
    assert len(domains) > 1, "one alone is no list"
    options = ("--json", "--pace", "0", "--connections", "12", "--retries", "0")
    # One command that does the work of many.
    found = files.command("check", *options, *domains, timeout=PATIENCE + 5 * len(domains))
    assert found.code in (0, 1), found.error
    documents: list[dict[str, Any]] = json.loads(found.output)
    return {document["domain"]: document for document in documents}


def find_outcome(status: str, word: str) -> str:
    """Give the outcome of a delivery by its log: its status, and the word of its TLS line."""
    return _BY_WORD.get(word, "encrypted") if status == "sent" else "defer"
