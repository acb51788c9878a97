"""Providers of carbon intensities, good and bad, over real connections."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ds01ctl.core.grid_providers import EIC
from ds01ctl.core.intensity import Figure
from ds01ctl.observe import grid, grid_token
from ds01ctl.observe.grid import Asked, GridReading
from ds01ctl.paths import Paths
from tests.observe.stub_grid import Answer, Stub

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 26, 12, 20, tzinfo=timezone.utc)
TOKEN = "s3cr3t+token/of=ours"
DE = EIC["DE"]


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    server = Stub(tmp_path_factory.mktemp("grid"))
    yield server
    server.stop()


def ask(
    stub: Stub,
    provider: str,
    answers: dict[str, Answer] | str,
    zone: str = "DE",
    token: str | None = TOKEN,
    deadline_s: float = 10.0,
) -> GridReading:
    """Serve an answer, on every path if it is a text, and read it."""
    stub.answer({"*": Answer(answers)} if isinstance(answers, str) else answers)
    return grid.read(Asked(provider, zone, token, stub.url), NOW, deadline_s)


def reason_of(reading: GridReading) -> str:
    assert reading.figure is None
    (gap,) = reading.gaps
    assert gap.source == "grid"
    assert "\n" not in gap.reason
    for secret in (TOKEN, "s3cr3t%2Btoken", "hunter22"):
        assert secret not in gap.reason
    return gap.reason


# --- Electricity Maps ---

EM = "electricity-maps"
GOOD: dict[str, Any] = {
    "zone": "DE",
    "carbonIntensity": 302,
    "datetime": "2026-11-26T11:00:00.000Z",
    "updatedAt": "2026-11-26T11:41:00.000Z",
    "emissionFactorType": "lifecycle",
    "isEstimated": False,
    "estimationMethod": None,
}


def hour(**others: Any) -> str:
    return json.dumps({**GOOD, **others})


def test_electricity_maps(stub: Stub) -> None:
    reading = ask(stub, EM, hour())
    at = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
    assert reading == GridReading(Figure(EM, "DE", at, 302.0, "average"))
    request = stub.asked()[-1]
    assert request["path"] == "/carbon-intensity/latest?zone=DE"
    assert request["headers"]["auth-token"] == TOKEN


def test_an_estimate_is_told(stub: Stub) -> None:
    body = hour(isEstimated=True, estimationMethod="TIME_SLICER_AVERAGE")
    reading = ask(stub, EM, body)
    assert reading.figure
    assert reading.notes == ('Electricity Maps estimated this figure ("TIME_SLICER_AVERAGE")',)


def test_the_hour_that_is_not_over(stub: Stub) -> None:
    """What it is about ends now, and not in the future."""
    reading = ask(stub, EM, hour(datetime="2026-11-26T12:00:00.000Z"))
    assert reading.figure
    assert reading.figure.at == NOW


NO_FIGURE = [
    (hour(carbonIntensity=None), "carbonIntensity is null, no number"),
    (hour(carbonIntensity=-1), "carbonIntensity is -1, which is negative"),
    (hour(carbonIntensity=-0.5), "carbonIntensity is -0.5, which is negative"),
    (hour(carbonIntensity=0), "carbonIntensity is 0, which no grid's average is"),
    (hour(carbonIntensity=3001), "carbonIntensity is 3001, which is above 3000 g/kWh"),
    (hour(carbonIntensity=302000), "carbonIntensity is 302000, which is above 3000 g/kWh"),
    (hour(carbonIntensity="302"), 'carbonIntensity is "302", no number'),
    (hour(carbonIntensity=True), "carbonIntensity is true, no number"),
    (hour(carbonIntensity=[302]), "carbonIntensity is [302], no number"),
    (hour(carbonIntensity=float("nan")), 'is no JSON: "{\\"zone\\": \\"DE\\"'),
    (hour(carbonIntensity=float("inf")), "is no JSON"),
    (hour().replace("302", "1e999"), "carbonIntensity is inf, which is no number"),
    (hour().replace("302", "1" + "0" * 400), "carbonIntensity is 1000000"),
    (hour().replace("302", "1" * 5000), "is no JSON"),
    (hour(zone="FR"), 'zone is "FR", not DE'),
    (hour(zone=None), "zone is null, not DE"),
    (hour(emissionFactorType="direct"), 'emissionFactorType is "direct", not lifecycle'),
    (hour(datetime=None), "datetime is null, no text"),
    (hour(datetime="yesterday"), 'datetime is "yesterday", no time'),
    (hour(datetime="2026-11-26T25:00:00Z"), 'datetime is "2026-11-26T25:00:00Z", no time'),
    (hour(datetime="2027-01-01T00:00:00Z"), 'datetime is "2027-01-01T00:00:00Z", which is still'),
    ("{}", "has no zone: {}"),
    ("[]", "has no zone: []"),
    ("null", "has no zone: null"),
    ("302", "has no zone: 302"),
    ('{"zone": "DE"}', 'has no carbonIntensity: {"zone": "DE"}'),
    ("", 'is no JSON: ""'),
    ("<html><body><h1>Bad gateway</h1></body></html>", 'is no JSON: "Bad gateway"'),
    ("[" * 100_000, "is no JSON"),
    ("\x00\x01\x02", 'is no JSON: ""'),
]


@pytest.mark.parametrize(("body", "said"), NO_FIGURE)
def test_what_is_no_figure(stub: Stub, body: str, said: str) -> None:
    reason = reason_of(ask(stub, EM, body))
    assert reason.startswith(f"Electricity Maps: {said}")
    assert len(reason) < 250


STATUS = [
    (401, {}, '{"error": "Invalid auth-token"}', "denied",
     'refuses the token (status 401): "{\\"error\\": \\"Invalid auth-token\\"}"', None),
    (403, {}, "", "denied", "refuses the token (status 403)", None),
    (429, {"Retry-After": "600"}, "slow down", "failed",
     'was asked too often (status 429): "slow down"', 600.0),
    (429, {"Retry-After": "Fri, 27 Nov 2026 00:00:00 GMT"}, "", "failed",
     "was asked too often (status 429)", None),
    (429, {"Retry-After": "9" * 300}, "", "failed", "was asked too often (status 429)", None),
    (500, {}, "<h1>oops</h1>", "failed", 'answers with status 500: "oops"', None),
    (503, {"Retry-After": "120"}, "", "failed", "answers with status 503", 120.0),
    (404, {}, "", "failed", "answers with status 404", None),
    (304, {}, "", "failed", "answers with status 304", None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "body", "kind", "said", "retry"), STATUS)
def test_status(
    stub: Stub,
    status: int,
    headers: dict[str, str],
    body: str,
    kind: str,
    said: str,
    retry: float | None,
) -> None:
    answer = Answer(body, status, tuple(headers.items()))
    reading = ask(stub, EM, {"*": answer})
    assert reason_of(reading) == f"Electricity Maps: {said}"
    assert reading.gaps[0].kind == kind
    assert reading.retry_after_s == retry


@pytest.mark.parametrize("manner", ["silent", "slow-head", "slow-body"])
def test_one_deadline_for_everything(stub: Stub, manner: str) -> None:
    """A server that keeps talking, a byte at a time, gains nothing by it."""
    began = time.monotonic()
    reading = ask(stub, EM, {"*": Answer(hour(), manner=manner)}, deadline_s=1.0)
    assert time.monotonic() - began < 2.5
    assert reason_of(reading) in {
        "Electricity Maps: no answer in 1 s",
        "Electricity Maps: no answer in time",
    }


MANNERS = [("endless", "its answer is longer than 2 MiB"), ("cut", "is no JSON"),
           ("no-http", "its answer is no HTTP: BadStatusLine")]  # fmt: skip


@pytest.mark.parametrize(("manner", "said"), MANNERS)
def test_manner(stub: Stub, manner: str, said: str) -> None:
    reading = ask(stub, EM, {"*": Answer(hour()[:-5], manner=manner)})
    assert reason_of(reading).startswith(f"Electricity Maps: {said}")


def test_nobody_there() -> None:
    reading = grid.read(Asked(EM, "DE", TOKEN, "http://127.0.0.1:1"), NOW)
    assert reason_of(reading) == "Electricity Maps: Connection refused"


def test_name_that_is_not_known() -> None:
    reading = grid.read(Asked(EM, "DE", TOKEN, "https://grid.invalid"), NOW, 10.0)
    assert reason_of(reading).startswith("Electricity Maps: ")


@pytest.mark.parametrize("url", ["http://192.0.2.1", "file:///etc/passwd", "https://a@b.invalid"])
def test_address_that_is_never_asked(url: str) -> None:
    reading = grid.read(Asked(EM, "DE", TOKEN, url), NOW)
    assert reason_of(reading).startswith("Electricity Maps: its address ")


def test_redirect_on_the_same_host_is_followed(stub: Stub) -> None:
    away = Answer("", 302, (("Location", "/moved"),))
    answers = {"/carbon-intensity/latest": away, "/moved": Answer(hour())}
    assert ask(stub, EM, answers).figure


@pytest.mark.parametrize("place", ["http://localhost:{port}/x", "https://127.0.0.1:{port}/x",
                                   "http://127.0.0.1:1/x", "file:///etc/passwd",
                                   "ftp://127.0.0.1/x"])  # fmt: skip
def test_redirect_to_another_host_is_not(stub: Stub, place: str) -> None:
    before = len(stub.asked())
    headers = (("Location", place.format(port=stub.port)),)
    reading = ask(stub, EM, {"/carbon-intensity/latest": Answer("", 302, headers)})
    assert "redirect" in reason_of(reading) or "status 302" in reason_of(reading)
    assert len(stub.asked()) == before + 1


def test_redirects_in_a_circle(stub: Stub) -> None:
    away = Answer("", 302, (("Location", "/carbon-intensity/latest"),))
    assert reason_of(ask(stub, EM, {"*": away})).startswith("Electricity Maps: answers with status")


def test_a_provider_that_repeats_the_token(stub: Stub) -> None:
    answer = Answer(f'{{"error": "unknown token {TOKEN}"}}', 401)
    assert "unknown token TOKEN" in reason_of(ask(stub, EM, {"*": answer}))


LONG_TOKEN = "3f1e7a52-9c1b-4f0e-8a77-1234567890ab"


def shows(reason: str, secret: str) -> bool:
    """Tell whether any four letters of a secret are in a message."""
    return any(secret[at : at + 4] in reason for at in range(len(secret) - 3))


@pytest.mark.parametrize("padding", [*range(0, 100, 9), 1360, 5458])
@pytest.mark.parametrize("manner", ["refusal", "answer", "redirect", "tags"])
def test_no_part_of_a_token_is_told(stub: Stub, padding: int, manner: str) -> None:
    """Wherever what is said is cut: a long token may begin before and end after it."""
    # no letters that a token may have in it
    before = "<_>" * padding if manner == "tags" else "_" * padding
    away = (("Location", f"http://127.0.0.2:1/{before}{LONG_TOKEN}/x"),)
    answers = {
        "refusal": Answer(f"<Reason>{before} {LONG_TOKEN} is no token</Reason>", 401),
        "answer": Answer(hour(zone=f"{before}{LONG_TOKEN}")),
        "redirect": Answer("", 302, away),
        "tags": Answer(f"{before}{LONG_TOKEN}", 500),
    }
    reading = ask(stub, EM, {"*": answers[manner]}, token=LONG_TOKEN)
    assert not shows(reason_of(reading), LONG_TOKEN)


@pytest.mark.parametrize("password", ['pa"ss\\word1', "two  blanks", "a<b>cdefg&", "+/%41%"])
@pytest.mark.parametrize("manner", ["text", "json"])
def test_a_password_with_marks_in_it(stub: Stub, password: str, manner: str) -> None:
    said = f"bad login for alice:{password}"
    body = said if manner == "text" else json.dumps({"error": said})
    login = Answer(body, 403 if manner == "text" else 200)
    reason = reason_of(moer(stub, points(), login, token=f"alice:{password}"))
    escaped = json.dumps(password)[1:-1]
    plain = " ".join(password.replace("<b>", " ").split())
    assert not {part for part in (password, escaped, plain) if part in reason}


def test_what_a_log_in_gave_is_never_told(stub: Stub) -> None:
    refusal = Answer(f"no such session: {LONG_TOKEN}", 401)
    login = Answer(json.dumps({"token": LONG_TOKEN}))
    assert not shows(reason_of(moer(stub, refusal, login)), LONG_TOKEN)


def test_proxy_of_the_environment_is_not_used_here(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes to this machine itself goes to no proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    assert ask(stub, EM, hour()).figure


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
def test_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    made = tmp_path / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key",
         "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text((tmp_path / "key").read_text() + (tmp_path / "cert").read_text())
    server = Stub(tmp_path, made)
    try:
        reason = reason_of(ask(server, EM, hour()))
        assert reason.startswith("Electricity Maps: its certificate is not valid: self")
        assert not server.asked()
    finally:
        server.stop()


# --- NESO ---


def half_hour(end: str, actual: object, forecast: object = 266) -> dict[str, Any]:
    start = datetime.strptime(end, "%H:%M").replace(tzinfo=timezone.utc) - timedelta(minutes=30)
    return {
        "from": f"2026-11-26T{start:%H:%M}Z",
        "to": f"2026-11-26T{end}Z",
        "intensity": {"forecast": forecast, "actual": actual, "index": "moderate"},
    }


def data(*rows: object) -> str:
    return json.dumps({"data": rows})


def test_neso(stub: Stub) -> None:
    """The half-hour that is under way has no actual figure, and its forecast is not taken."""
    body = data(half_hour("11:30", 210), half_hour("12:00", 205), half_hour("12:30", None, 190))
    reading = ask(stub, "neso", body, "GB", None)
    at = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
    assert reading == GridReading(Figure("neso", "GB", at, 205.0))
    assert stub.asked()[-1]["path"] == "/intensity/2026-11-26T09:20Z/2026-11-26T12:20Z"


NESO = [
    (data(half_hour("12:00", None), half_hour("12:30", None)),
     "actual is null in all of 2 half-hours: none is known yet"),
    (data(half_hour("12:30", 100)), "actual is null in all of 1 half-hours: none is known yet"),
    (data(), "actual is null in all of 0 half-hours: none is known yet"),
    (data(half_hour("12:00", -3)), "actual is -3, which is negative"),
    (data(half_hour("12:00", 0)), "actual is 0, which no grid's average is"),
    (data(half_hour("12:00", "205")), 'actual is "205", no number'),
    (data({"to": "2026-11-26T12:00Z"}), "has no intensity.actual: "),
    (data(None), "has no intensity.actual: null"),
    (data({**half_hour("12:00", 1), "to": "soon"}), 'to is "soon", no time'),
    ('{"data": null}', "data is no list: null"),
    ('{"error": {"code": "400 Bad Request"}}', "has no data: "),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), NESO)
def test_neso_without_a_figure(stub: Stub, body: str, said: str) -> None:
    reason = reason_of(ask(stub, "neso", body, "GB", None))
    assert reason.startswith(f"GB Carbon Intensity API (NESO): {said}")


# --- WattTime ---

META = {"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh"}
LOGIN = Answer('{"token": "abc.def"}')


def points(*rows: tuple[str, object], **meta: str) -> Answer:
    listed = [{"point_time": f"2026-11-26T{at}:00+00:00", "value": value} for at, value in rows]
    return Answer(json.dumps({"data": listed, "meta": {**META, **meta}}))


def moer(
    stub: Stub, answer: Answer, login: Answer = LOGIN, token: str | None = "ann:hunter22"
) -> GridReading:
    answers = {"/login": login, "/v3/historical": answer}
    return ask(stub, "watttime", answers, "CAISO_NORTH", token)


def test_watttime(stub: Stub) -> None:
    """1,000 lb/MWh are 453.592 g/kWh; a point that is still to come is a forecast."""
    reading = moer(stub, points(("12:10", 900), ("12:15", 1000), ("12:25", 800)))
    at = datetime(2026, 11, 26, 12, 15, tzinfo=timezone.utc)
    assert reading.figure == Figure("watttime", "CAISO_NORTH", at, 453.592, "marginal")
    login, asked = stub.asked()[-2:]
    assert login["headers"]["authorization"] == "Basic YW5uOmh1bnRlcjIy"
    assert asked["headers"]["authorization"] == "Bearer abc.def"
    query = parse_qs(urlsplit(asked["path"]).query)
    assert (query["region"], query["signal_type"]) == (["CAISO_NORTH"], ["co2_moer"])


def test_marginal_may_be_nothing(stub: Stub) -> None:
    """While wind is shut off, one more kilowatt-hour causes nothing."""
    reading = moer(stub, points(("12:15", 0)))
    assert reading.figure
    assert reading.figure.g_per_kwh == 0


WATTTIME = [
    (points(("12:15", None)), LOGIN, "value is null, no number"),
    (points(("12:15", -1)), LOGIN, "value is -1, which is negative"),
    (points(("12:15", 7000)), LOGIN, "value is 7000, which is above 3000 g/kWh"),
    (points(("12:25", 1)), LOGIN, "has no point up to now among 1"),
    (points(), LOGIN, "has no point up to now among 0"),
    (points(("12:15", 42), signal_type="health_damage"), LOGIN,
     'signal_type is "health_damage", not co2_moer'),
    (points(("12:15", 42), units="percentile"), LOGIN, 'units is "percentile", not lbs_co2'),
    (points(("12:15", 42), region="PJM"), LOGIN, 'region is "PJM", not CAISO_NORTH'),
    (points(("12:15", 1)), Answer('{"token": null}'), "token is null, no text"),
    (points(("12:15", 1)), Answer('{"token": "a\\r\\nb"}'), "token cannot be sent back"),
    (points(("12:15", 1)), Answer("{}"), "has no token: {}"),
    (points(("12:15", 1)), Answer("", 403), "refuses the token (status 403)"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "login", "said"), WATTTIME)
def test_watttime_without_a_figure(stub: Stub, answer: Answer, login: Answer, said: str) -> None:
    assert reason_of(moer(stub, answer, login)).startswith(f"WattTime: {said}")


@pytest.mark.parametrize("token", [None, "no colon"])
def test_watttime_needs_a_login(stub: Stub, token: str | None) -> None:
    reading = moer(stub, points(("12:15", 1)), token=token)
    assert reason_of(reading) == "WattTime: carbon.token_file must have USER:PASSWORD in it"
    assert reading.gaps[0].kind == "denied"


# --- ENTSO-E ---


def series(
    code: str,
    quantities: dict[int, object],
    *,
    start: str = "2026-11-26T10:00Z",
    end: str = "2026-11-26T12:00Z",
    resolution: str = "PT60M",
    curve: str = "A01",
    domain: str = f"inBiddingZone_Domain.mRID={DE}",
) -> str:
    name, zone = domain.split("=")
    given = "".join(
        f"<Point><position>{place}</position><quantity>{value}</quantity></Point>"
        for place, value in quantities.items()
    )
    return (
        f"<TimeSeries><{name}>{zone}</{name}><quantity_Measure_Unit.name>MAW"
        f"</quantity_Measure_Unit.name><curveType>{curve}</curveType><MktPSRType><psrType>{code}"
        f"</psrType></MktPSRType><Period><timeInterval><start>{start}</start><end>{end}</end>"
        f"</timeInterval><resolution>{resolution}</resolution>{given}</Period></TimeSeries>"
    )


def document(*parts: str, head: str = "") -> str:
    space = "urn:iec62325.351:tc57wg16:451-6:generationloaddocument:3:0"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{head}<GL_MarketDocument xmlns="{space}">'
        f"<type>A75</type>{''.join(parts)}</GL_MarketDocument>"
    )


def mix(stub: Stub, body: str) -> GridReading:
    return ask(stub, "entsoe", body, DE)


NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
ELEVEN = NOON - timedelta(hours=1)
MIXES = [
    ("one half coal, one half wind", [series("B05", {1: 1, 2: 50}), series("B19", {1: 1, 2: 50})],
     NOON, (820 + 11) / 2),
    ("the newest moment with every type",
     [series("B05", {1: 10, 2: 50}), series("B16", {1: 30})], ELEVEN, (10 * 820 + 30 * 48) / 40),
    ("a type that has zero", [series("B04", {1: 5, 2: 5}), series("B16", {1: 9, 2: 0})], NOON, 490),
    ("what storages give back is not counted again",
     [series("B10", {1: 90, 2: 90}), series("B25", {1: 5, 2: 5}), series("B14", {1: 7, 2: 7})],
     NOON, 12),
    ("nor what they take", [series("B10", {1: 90, 2: 90},
     domain=f"outBiddingZone_Domain.mRID={DE}"), series("B14", {1: 7, 2: 7})], NOON, 12),
    ("quarters beside hours", [series("B04", {1: 50, 2: 50}), series("B11", {
        place: 10 * place for place in range(1, 9)}, resolution="PT15M")],
     NOON, (50 * 490 + 80 * 24) / 130),
    ("blocks, where a value holds until the next",
     [series("B04", {1: 50}, curve="A03"), series("B11", {1: 10, 5: 50}, resolution="PT15M",
      curve="A03")], NOON, (490 + 24) / 2),
    ("no blocks, where it does not", [series("B04", {1: 50})], ELEVEN, 490),
    ("one type in two series that follow", [
        series("B04", {1: 1}, end="2026-11-26T11:00Z"),
        series("B04", {1: 1}, start="2026-11-26T11:00Z")], NOON, 490),
    ("the same twice", [series("B04", {1: 1, 2: 1}), series("B04", {1: 1, 2: 1})], NOON, 490),
    ("what is still to come is not", [series("B04", {1: 1, 2: 1, 3: 1},
     end="2026-11-26T13:00Z")], NOON + timedelta(minutes=15), 490),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "at", "g_per_kwh"), [row[1:] for row in MIXES],
                         ids=[row[0] for row in MIXES])  # fmt: skip
def test_entsoe(stub: Stub, parts: list[str], at: datetime, g_per_kwh: float) -> None:
    reading = mix(stub, document(*parts))
    assert not reading.gaps
    assert reading.figure
    assert reading.figure.at == at
    assert reading.figure.g_per_kwh == pytest.approx(g_per_kwh, rel=1e-12)
    assert (reading.figure.kind, reading.figure.zone) == ("average", DE)


def test_entsoe_is_asked_for_a_day(stub: Stub) -> None:
    mix(stub, document())
    query = parse_qs(urlsplit(stub.asked()[-1]["path"]).query)
    assert query == {
        "documentType": ["A75"],
        "processType": ["A16"],
        "in_Domain": [DE],
        "periodStart": ["202611251200"],
        "periodEnd": ["202611261300"],
        "securityToken": [TOKEN],
    }


def test_assumed_factors_are_told(stub: Stub) -> None:
    reading = mix(stub, document(series("B04", {2: 90}), series("B17", {2: 10})))
    assert reading.notes == ("10.0% of the generation has an assumed factor (B17)",)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
ENTSOE = [
    (document(series("B04", {1: 5, 2: "&c;"}), head=BOMB), "is XML with a DTD, which is refused"),
    (document(series("B04", {2: "&a;"}), head=OUTSIDE), "is XML with a DTD, which is refused"),
    (document(series("B04", {2: "&nbsp;"})), "is no XML"),
    (document(series("B04", {2: 5}))[:-9], "is no XML"),
    ("", 'is no XML: ""'),
    ("{}", 'is no XML: "{}"'),
    ("<html></html>", 'the document is "html", not GL_MarketDocument'),
    ("<Acknowledgement_MarketDocument><Reason><code>999</code><text>No matching data found for "
     "Data item</text></Reason></Acknowledgement_MarketDocument>",
     'says: "No matching data found for Data item"'),
    (document(), "has no moment for which every type is known (types: none)"),
    (document(series("B10", {2: 5})), "has no moment for which every type is known (types: none)"),
    (document(series("B04", {1: 5}), series("B16", {2: 5})),
     "has no moment for which every type is known (types: B04, B16)"),
    (document(series("B04", {1: 0, 2: 0})), "generation is 0 in all, which no grid's is"),
    (document(series("B04", {2: -5})), 'quantity is "-5", no number that is not negative'),
    (document(series("B04", {2: "NaN"})), 'quantity is "NaN", no number'),
    (document(series("B04", {2: ""})), 'quantity is "", no number'),
    (document(series("B04", {2: "1e9"})), 'quantity is "1e9", no number'),
    (document(series("B04", {2: "9" * 500})), 'quantity is "999'),
    (document(series("B99", {2: 5})), 'psrType is "B99", which nobody knows'),
    (document(series("", {2: 5})), 'psrType is "", which nobody knows'),
    (document(series("B04", {2: 5}, domain="inBiddingZone_Domain.mRID=10YFR-RTE------C")),
     f'inBiddingZone_Domain.mRID is "10YFR-RTE------C", not {DE}'),
    (document(series("B04", {2: 5}, resolution="P1D")), 'resolution is "P1D", none of PT15M'),
    (document(series("B04", {2: 5}, end="2036-01-01T00:00Z")), "timeInterval is from 2026"),
    (document(series("B04", {2: 5}, end="2026-11-26T10:00Z")), "timeInterval is from 2026"),
    (document(series("B04", {2: 5}, start="now")), 'start is "now", no time'),
    (document(series("B04", {2: 5}), series("B04", {2: 6})),
     "B04 has two values for 2026-11-26T11:00Z"),
    (document(series("B04", {2: 5})).replace("MAW", "GWH"), 'unit is "GWH", not MAW'),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), ENTSOE)
def test_entsoe_without_a_figure(stub: Stub, body: str, said: str) -> None:
    reason = reason_of(mix(stub, body))
    assert reason.startswith(f"ENTSO-E Transparency Platform: {said}")


# --- the token ---


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o644])
def test_a_token_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """It is used, and told of."""
    file = tmp_path / "token"
    file.write_text("a-token\n")
    file.chmod(mode)
    told = grid_token.exposed("/token", Paths(tmp_path))
    assert told == (
        f"{file}: others than root may read the token (mode {mode:04o}): chmod 600 {file}, and ask"
        " the provider for another one"
        if mode & 0o077
        else ""
    )
    assert grid_token.read("/token", Paths(tmp_path), {}).text == "a-token"


@pytest.mark.parametrize("file", [None, "/absent"])
def test_no_token_that_others_may_read(tmp_path: Path, file: str | None) -> None:
    assert grid_token.exposed(file, Paths(tmp_path)) == ""


def test_token(tmp_path: Path) -> None:
    (tmp_path / "root/etc/ds01").mkdir(parents=True)
    (tmp_path / "root/etc/ds01/token").write_text("from the file\n")
    (tmp_path / "handed").mkdir()
    paths, env = Paths(tmp_path / "root"), {"CREDENTIALS_DIRECTORY": str(tmp_path / "handed")}
    handed = tmp_path / "handed" / grid_token.CREDENTIAL
    assert grid_token.read(None, paths, {}) == grid_token.Token()
    assert grid_token.read("/etc/ds01/token", paths, {}).text == "from the file"
    assert grid_token.read("/etc/ds01/token", paths, env).text == "from the file"
    handed.write_text("handed over\n")
    assert grid_token.read("/etc/ds01/token", paths, env).text == "handed over"
    # what the unit sets where systemd found no file
    handed.write_text("none")
    assert grid_token.read("/etc/ds01/token", paths, env).text == "from the file"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), (b"", "is not one line with a token"),
     (b"a\nb\n", "is not one line with a token"), (b"\xff\xfe", "is no text of ASCII"),
     (b"a\x00b", "is not one line with a token")],
)  # fmt: skip
def test_token_that_cannot_be_used(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    token = grid_token.read("/token", Paths(tmp_path), {})
    assert token.text is None
    hint = "carbon.token_file must name a file with the token, readable by root"
    assert token.gaps[0].reason == f"{tmp_path}/token: {said}; {hint}"
