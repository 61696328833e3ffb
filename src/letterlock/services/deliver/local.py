"""Delivery to mailboxes of our own: Maildir, with Return-Path and Delivered-To.

RFC 5321 §4.4 (Return-Path at final delivery). A full disk defers; nothing is delivered in halves.
"""

from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.smtp.trace import format_delivered_to, format_return_path
from letterlock.services.deliver.story import Story
from letterlock.services.queue.outcomes import Delivery, Outcome, Result
from letterlock.storage.maildir import MaildirDelivered, MaildirFailed, MaildirStore
from letterlock.storage.queue import AttemptRecord, Claim, ClaimedRecipient, QueueStore
