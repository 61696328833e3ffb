"""Inputs that a guided search found, and that are mended: each holds now.

They are here as they were found, in base64.
"""

from base64 import b64decode

import pytest

from tests.fuzz.targets import TARGETS

FOUND = [
    (
        "acme-challenge-certificate",
        (
            "MIIBeDCCASqgAwIBAgIBAjAFBgMrZXAwDzENMAsGA1UMBAMEUm9vdDAeFw0yNjAyMjgyMzAwMDBaFw0y"
            "NjA1MzAwMDAwMDBaMBkxFzAVBgNVBAMMDm14LmV4YW1wbGUuY29tMCowBQYDK2VwAyEAgTl3Dqh9F19W"
            "o1Rmw0x+zMuNipG07jeiXfYPW4/Js5SjgaAwgZ0wDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUaWhOUdpV"
            "8W5TXKrcwMXFrBdzw6cwHwYDVR0jBBgwFoAUmtGeDxbu9xTLkMbxldvOZulFgPkwDgYDVR0PAQH/BAQD"
            "AgeAMCgGA1UdEQQhMB+CDm14LmV4YW1wbGUuY29tgg0qLmV4YW1wbGUub3JnMBMGA1UdJQQMMAoGCCsG"
            "AQUFBwMBMAUGAytlcANBAKRsI3N3jNx0nXv8vYo7lVhvTmplCCx4pDnS1BEGbQoYz7QAaMakpb3b6srq"
            "LzxSGiGfFSnYE0bApozPoEUx9wI="
        ),
    ),
    (
        "acme-payload",
        (
            "eyJpZGVudGlmaWVycyI6W3sidHlwZSI6ImRuc14iLCJ2YWx1ZSI6IiouYS5leGFtcGxlIn0seyJ0eXBl"
            "IjoiaXAiLCJ2YWx1ZSI6IjIwMDE6ZGI4KjoxIn1dLCJwcm9maWxlIjoiYSIsInJudWxsY2VzIjoiQUFB"
            "QS4wNC0wMVQwMDowMDowMFoifQ=="
        ),
    ),
    (
        "acme-server-texts",
        (
            "bWFpbHRvOmEuJEBjLnR4AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            "AAAAAAAAAG1l"
        ),
    ),
    (
        "config-values",
        "LwAAAABi",
    ),
    (
        "config-values",
        "dW5peDovZmUAOTow",
    ),
    (
        "crl",
        (
            "ADCBqTBdAgEBMAUGAytlcDAPMQ0wCwYDVQQDDARSVR0cFw0yNjAzMDEwMDAwMDBaFw0yNjAzMDgwMDAw"
            "MDBaMCIwIAIBAhcNMjYwMzAxMDAwMDAwWjAMMAoGA1UdFQQDCgEEMAUGAytlcANBAGTZi/kTY1yKeo7A"
            "P13b2rO6S8/5ei/M7jzlWD7jsoKZxKTXs3LQERW0QqNV8bMmFDxXRn4vSZVAbkGR9ku7Rwk="
        ),
    ),
    (
        "incident-crl",
        (
            "MIHAMHQCAQEwBQYDK2VwMA8xDTALBgNVBAMNBFJvb3QXDTI2MDMwMTEyMDAwMFoXDTI2MDMwODEyMDAw"
            "MFowOTASAgEBFw0yNjAzMDExMjAwMDBaMCMCBACrze8XDTI2MDMwMTEyMDAwMFowDDAKBgNVHRUEAwoB"
            "ATAFBgMrZXADQQBYBLx4IFNioq56MGWSadUXq4vfrhvXdId0Glzu1PlPBvHvatejsVmP7XLbpUoK/D5D"
            "aMn9xzqZORb+Gh7C3j4J"
        ),
    ),
    (
        "incident-list",
        (
            "MDCBwDB0AgEBMAUGAytlcDAPMQ0wCwYDVQQDDARSxAB0Fw0yNjAzMDExMjAwMDBaFw0yNjAzMDgxMjAw"
            "MDBaMDkwEgIBARcNMjYwMzAxMTIwMDAwWjAjAgQAq83vFw0yNjAzMDExMjAwMDBaMAwwCgYDVR0VBAMK"
            "AQEwBQYDK2VwA0EAWAS8eCBTYqKuejBlkmnVF6uL364b13SHdBpc7tT5Twbx72rXo7FZj+1y26VKCvw+"
            "Q2jJ/cc6mTkW/hoewt4+CQ=="
        ),
    ),
    (
        "next-hop",
        "c210cHM6WzFdOnNtdHA=",
    ),
    (
        "next-hop",
        "c210cHM6MC4=",
    ),
    (
        "own-address",
        (
            "hcDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA"
            "wMDAwMDAwMDAwMDAwMDAwMDAwMDAwC9A07w="
        ),
    ),
    (
        "own-address",
        "QHhuLS1f",
    ),
    (
        "tlsrpt-datagram",
        (
            "eyJkcHYiOiAiMSIsImQiOiAiZXhhbXBsZS5uZXQiLCJwciI6ICJ2PVRMU1JQVHYxOyBydWE9bWFpbHRv"
            "OmFAZXhhbXBsZS5uZXQsaHR0cHM6Ly9yLmV4YW1wbGUubmV0L3QiLCJwb2xpY2llcyI6W3sicG9saWN5"
            "LXR5cGUiOjIsInBvbGljeS1kb21haW4iOiAiZXhhbXBsZS5uZXQiLCJwb2xpY3ktc3RyaW5nIjpbInZl"
            "cnNpb246IFNUU3YxIiwibW9kZTogZW5mb3JjZSIsIm14OiAqLmV4YW1wbGUubmV0IiwibWF4X2FnZTog"
            "ODY0MDAiXSwibXgtaG9zdCI6WyIqLmV4YW1wbnVsbGV0Il0sImZhaWx1cmUtZGV0YWlscyI6W3siYyI6"
            "MjA1LCJzIjogIjGeOTIuMC4yLjEiLCJuIjogIm14MS5leGFtcGxlLm5ldCIsImgiOiAiMjUwLW14MS5l"
            "eGFtcDI1MC1TSVpFIDFcclxuMjUwIFNUQVJUVExTIiwiciI6IiAxOTguNTEuMTAwLjdsZi1zaWduZWQg"
            "XCJjZXJ0XCIgXFwgXHUwMDAxIn1dLCJ0IjoxLCJmIjoxfV19"
        ),
    ),
]


@pytest.mark.parametrize(("target", "octets"), FOUND, ids=[name for name, _ in FOUND])
def test_what_was_found_holds(target: str, octets: str) -> None:
    TARGETS[target].check(b64decode(octets))
