"""What each kind of key accepts, in words; and what a schedule and a mail address look like."""

from __future__ import annotations

import re

from ds01ctl.core.grid_providers import url_problem
from ds01ctl.jobs import span_s

EXPECTED = {
    "bool": "true or false",
    "count": "a whole number",
    "number": "a number",
    "fraction": "a number from 0 to 1",
    "percent": "a number from 0 to 100",
    "intensity": "a number from 0 to 3000",
    "pue": "a number from 1 to 10",
    "days": "a number of days",
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
    "storage": "a map of paths, each with a limit as below, with a size alone, or with null: no"
    " limit",
    "projects": "a map of names, each with a folder and its limit as below",
    "percents": "a list of whole numbers from 1 to 100",
    "ports": "a list of port numbers from 1 to 65535",
    "url": "an address such as https://api.example.org/v1; http only to this machine itself",
    "login": "a login",
    "tree": "an absolute path without .. and //, not the root itself",
    "disk_size": "a size of 1 MiB at least, with its unit, such as 100G",
    "disk_limit": "a size of 1 MiB at least, with its unit, such as 100G, or a map of soft, hard,"
    " inodes_soft, inodes_hard and until",
    "inodes": "a whole number above 0, such as 500k or 2M",
    "day": "a date such as 2026-12-24",
    "ids": "a range of 1000 ids at least, above 65536 and below 4294967295, such as"
    " 2000000-2999999",
    "any": "anything",
}


ITEM = {
    "texts": "a word",
    "logins": "a login",
    "paths": "an absolute path",
    "hosts": "an address such as unix:///run/docker.sock or tcp://127.0.0.1:2375",
    "addresses": "a mail address",
    "percents": "a whole number from 1 to 100",
    "ports": "a port number from 1 to 65535",
    "device_rates": "a path on the device, without spaces, quotes and any of % \\ $, and a rate"
    " above 0, such as /dev/nvme0n1 500M; K, M, G and T are powers of 1000",
}
"""What one entry of a list has to be."""

# text, not compiled: most policies need none of them
# no sign that could begin another directive in a unit file
_CALENDAR = (
    r"(?ai)minutely|hourly|daily|weekly|monthly|quarterly|semiannually|yearly|annually"
    r"|(?=.*[\d*])[a-z0-9*/,.:~+_ -]{1,200}"
)
_UNIT_SIGNS = "\"'\\$"
_GLOB_SIGNS = " *?[]{}"
_ADDRESS = r"(?!-)[^\s@<>,;:\"]+@[^\s@<>,;:\"]+"


def is_plain_path(text: str) -> bool:
    """Tell a path that means in a unit what it says, spaces included; not the root itself."""
    names = text.rstrip("/").split("/")[1:]
    is_whole = text.startswith("/") and names and not {"", ".", ".."} & set(names)
    return bool(is_whole) and text == text.strip() and not set(text) & set(_UNIT_SIGNS)


def is_log_path(text: str) -> bool:
    """Tell a file in a folder whose path means itself to logrotate and tmpfiles.d too."""
    is_file = text.count("/") > 1 and not text.endswith("/")
    return is_plain_path(text) and is_file and not set(text) & set(_GLOB_SIGNS)


def is_host(text: str) -> bool:
    """Tell the address of a container engine."""
    return re.fullmatch(r"unix:///\S+|(tcp|http|https|ssh)://\S+", text) is not None


def is_schedule(text: str) -> bool:
    """Tell a time span, or what may be a calendar expression; systemd has the last word."""
    return span_s(text) is not None or re.fullmatch(_CALENDAR, text) is not None


def is_address(text: str) -> bool:
    """Tell what may be a mail address; the mail server has the last word."""
    return re.fullmatch(_ADDRESS, text) is not None


def is_url(text: str) -> bool:
    """Tell the address of a web service that nobody on the way can listen to."""
    return url_problem(text) is None
