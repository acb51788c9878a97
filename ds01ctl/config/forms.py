"""What each kind of key accepts, in words; and what a schedule and a mail address look like."""

from __future__ import annotations

import re

from ds01ctl.jobs import span_s

EXPECTED = {
    "bool": "true or false",
    "count": "a whole number",
    "number": "a number",
    "fraction": "a number from 0 to 1",
    "percent": "a number from 0 to 100",
    "hours": "a number of hours",
    "minutes": "a number of minutes",
    "seconds": "a number of seconds",
    "size": "a size with its unit, such as 32g",
    "host_size": "a size with its unit, such as 96G, or 80% of the host's memory",
    "cpu_quota": "a percentage above 0% such as 400%, which is four cores",
    "weight": "a whole number from 1 to 10000",
    "cpu_list": "CPU numbers below 8192, in rising ranges, such as 0-15,32",
    "swap_size": "a size with its unit, such as 8G, or 0 for no swap at all",
    "device_rates": 'a list of "PATH RATE" such as [/dev/nvme0n1 500M], with a rate above 0; K, M,'
    " G and T are powers of 1000",
    "percentage": "a percentage above 0% and up to 100%, such as 60%, with two decimals at most",
    "text": "a word",
    "path": "an absolute path",
    "plain_path": "an absolute path without .., //, quotes, backslashes and $",
    "log_path": "the absolute path of a file, not in / itself, without .., //, spaces, quotes and"
    " any of \\ $ * ? [ ] { }",
    "texts": "a list of words",
    "logins": "a list of logins",
    "paths": "a list of absolute paths",
    "hosts": "a list of addresses such as unix:///run/docker.sock",
    "schedule": 'a time span such as 30s, or a calendar expression such as "Mon *-*-* 04:10:00"',
    "address": "a mail address",
    "addresses": "a list of mail addresses",
    "any": "anything",
}


ITEM = {
    "texts": "a word",
    "logins": "a login",
    "paths": "an absolute path",
    "hosts": "an address such as unix:///run/docker.sock or tcp://127.0.0.1:2375",
    "addresses": "a mail address",
    "device_rates": "a path on the device, without spaces, quotes and any of % \\ $, and a rate"
    " above 0, such as /dev/nvme0n1 500M; K, M, G and T are powers of 1000",
}
"""What one entry of a list has to be."""

# no sign that could begin another directive in a unit file
_CALENDAR = re.compile(
    r"minutely|hourly|daily|weekly|monthly|quarterly|semiannually|yearly|annually"
    r"|(?=.*[\d*])[a-z0-9*/,.:~+_ -]{1,200}",
    re.ASCII | re.IGNORECASE,
)
_UNIT_SIGNS = "\"'\\$"
_GLOB_SIGNS = " *?[]{}"
_ADDRESS = re.compile(r"(?!-)[^\s@<>,;:\"]+@[^\s@<>,;:\"]+")


def is_plain_path(text: str) -> bool:
    """Tell a path that means in a unit what it says, spaces included; not the root itself."""
    names = text.rstrip("/").split("/")[1:]
    is_whole = text.startswith("/") and names and not {"", ".", ".."} & set(names)
    return bool(is_whole) and text == text.strip() and not set(text) & set(_UNIT_SIGNS)


def is_log_path(text: str) -> bool:
    """Tell a file in a folder whose path means itself to logrotate and tmpfiles.d too."""
    is_file = text.count("/") > 1 and not text.endswith("/")
    return is_plain_path(text) and is_file and not set(text) & set(_GLOB_SIGNS)


def is_schedule(text: str) -> bool:
    """Tell a time span, or what may be a calendar expression; systemd has the last word."""
    return span_s(text) is not None or _CALENDAR.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Tell what may be a mail address; the mail server has the last word."""
    return _ADDRESS.fullmatch(text) is not None
