"""Who can be asked for the carbon intensity of a grid, and what their figures mean."""

from __future__ import annotations

from typing import Literal

from ds01ctl.core.record import NamedTuple

Kind = Literal["average", "marginal"]
"""average: of all that is generated; marginal: of what one more kilowatt-hour would cause."""
HIGHEST = 3000.0
"""g/kWh above which no figure can be right: the worst lignite is at 1,700."""


class Provider(NamedTuple):
    """One source of live figures."""

    name: str
    title: str
    base_url: str
    scope: str
    licence: str
    kind: Kind = "average"
    needs_token: bool = True
    lag_s: int = 0
    """How much later than the others it publishes."""


PROVIDERS: dict[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            "electricity-maps",
            "Electricity Maps",
            "https://api.electricitymaps.com/v3",
            "lifecycle, with imports and exports",
            "as agreed with Electricity Maps",
        ),
        Provider(
            "neso",
            "GB Carbon Intensity API (NESO)",
            "https://api.carbonintensity.org.uk",
            "direct emissions, with imports and losses of the grid; not lifecycle",
            "CC BY 4.0",
            needs_token=False,
        ),
        Provider(
            "entsoe",
            "ENTSO-E Transparency Platform",
            "https://web-api.tp.entsoe.eu/api",
            "lifecycle: generation by type (A75) times IPCC AR5 medians; without imports",
            "CC BY 4.0",
            lag_s=7200,
        ),
        Provider(
            "watttime",
            "WattTime",
            "https://api.watttime.org",
            "marginal operating emissions (MOER)",
            "as agreed with WattTime",
            kind="marginal",
        ),
    )
}

EIC: dict[str, str] = {
    "AT": "10YAT-APG------L",
    "BE": "10YBE----------2",
    "CH": "10YCH-SWISSGRIDZ",
    "CZ": "10YCZ-CEPS-----N",
    "DE": "10Y1001A1001A83F",
    "DK": "10Y1001A1001A65H",
    "ES": "10YES-REE------0",
    "FI": "10YFI-1--------U",
    "FR": "10YFR-RTE------C",
    "GR": "10YGR-HTSO-----Y",
    "IE": "10YIE-1001A00010",
    "IT": "10YIT-GRTN-----B",
    "NL": "10YNL----------L",
    "NO": "10YNO-0--------C",
    "PL": "10YPL-AREA-----S",
    "PT": "10YPT-REN------W",
    "SE": "10YSE-1--------K",
}
"""Zones as ENTSO-E names them (Energy Identification Codes); others are written as such."""
_EIC_LENGTH = 16
_NO_ADDRESS = "is no address like https://api.example.org/v1"


def eic_of(zone: str) -> str | None:
    """Find ENTSO-E's code of a zone; a code stands for itself. None: it has none here."""
    is_code = len(zone) == _EIC_LENGTH and zone.isascii() and zone.replace("-", "").isalnum()
    return zone if is_code else EIC.get(zone.upper())


def url_problem(url: str) -> str | None:
    """Say what is wrong with the address of a provider; None: nothing.

    https, or http where it does not leave this machine; no password, query or fragment in it.
    """
    from urllib.parse import urlsplit

    if not _is_plain(url):
        return _NO_ADDRESS
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"https", "http"} or not host:
        return _NO_ADDRESS
    if parts.username is not None or parts.query or parts.fragment or "?" in url or "#" in url:
        return "has a user, a query or a fragment in it"
    if parts.scheme == "http" and not is_loopback(host):
        return "is not https, so that anybody on the way could read and change what is said"
    return None


def is_loopback(host: str) -> bool:
    """Tell a host name or address that is this machine's own."""
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url
