"""`units failed`: what ds01-failure@.service tells, to whom, how often; also on bad days."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from tests.cli.conftest import Host, gaps
from tests.cli.fake_systemd import FakeSystemd, line

UNIT = "ds01-detect"
INVOCATION = f"{UNIT:0<32}"
MONITOR = {
    "MONITOR_UNIT": f"{UNIT}.service",
    "MONITOR_SERVICE_RESULT": "exit-code",
    "MONITOR_EXIT_CODE": "exited",
    "MONITOR_EXIT_STATUS": "1",
    "MONITOR_INVOCATION_ID": INVOCATION,
}


class MailServer:
    """A little SMTP server: takes what comes, or refuses what a test says."""

    def __init__(self, context: ssl.SSLContext | None = None, *, tls: bool = False) -> None:
        self.refuse: dict[str, str] = {}
        """The answer to a command, by its first word."""
        self.said: list[str] = []
        self.mails: list[bytes] = []
        self._context = context
        self._is_tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    @property
    def mail(self):
        """The only mail, parsed."""
        [data] = self.mails
        return message_from_bytes(data, policy=default)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(10)
            if self._is_tls:
                client = self._secret(client)
            # the client hangs up where it does not trust the certificate
            with suppress(OSError), client:
                self._talk(client)

    def _secret(self, client: socket.socket) -> socket.socket:
        assert self._context
        made = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        with suppress(OSError):
            made.do_handshake()
        return made

    def _talk(self, client: socket.socket, *, is_greeted: bool = False) -> None:
        file = client.makefile("rwb")

        def say(text: str) -> None:
            file.write(text.encode() + b"\r\n")
            file.flush()

        if not is_greeted:
            say("220 ready")
        while words := file.readline().decode().split():
            self.said.append(" ".join(words))
            verb = words[0].upper()
            if verb in self.refuse:
                say(self.refuse[verb])
            elif verb == "EHLO":
                offers = ["250-here", "250-AUTH PLAIN"]
                offers += ["250-STARTTLS"] if self._context else []
                say("\r\n".join([*offers, "250 HELP"]))
            elif verb == "STARTTLS" and self._context:
                say("220 go on")
                with self._secret(client) as secret:
                    self._talk(secret, is_greeted=True)
                return
            elif verb == "AUTH":
                say("235 welcome")
            elif verb == "DATA":
                say("354 go on")
                data = b""
                while not data.endswith(b"\r\n.\r\n"):
                    data += file.readline()
                self.mails.append(data[:-3])
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 fine")


@pytest.fixture
def server() -> Iterator[MailServer]:
    one = MailServer()
    yield one
    one.stop()


@pytest.fixture
def systemd(host: Host) -> FakeSystemd:
    (host.root / "var/log/ds01").mkdir()
    fake = FakeSystemd(host)
    fake.journal(
        line(UNIT, "ds01ctl: resource-limits.yaml:3: bad \x1b[31mkey"),
        line(UNIT, "hint: correct it"),
    )
    host.env |= MONITOR
    return fake


def policy_of(on: Host, server: MailServer, **more: object) -> None:
    mail = {"to": ["admin@uni.example"], "host": "127.0.0.1", "port": server.port, **more}
    on.policy(f"mail: {json.dumps(mail)}\n")


def failed(host: Host, status: int = 0, unit: str = UNIT):
    return host.json("units", "failed", unit, status=status)


def outcomes(document):
    return {action["kind"]: action["outcome"] for action in document["actions"]}


def age_the_streak(host: Host, **hours: float) -> None:
    """Set times of the remembered row of failures back."""
    path = host.root / f"run/ds01/failed-{UNIT}.json"
    said = json.loads(path.read_text())
    for name, ago in hours.items():
        at = datetime.now(timezone.utc) - timedelta(hours=ago)
        said[name] = at.isoformat().replace("+00:00", "Z")
    path.write_text(json.dumps(said))


# --- what is told -------------------------------------------------------------------------------


def test_event_and_mail(host, systemd, server):
    policy_of(host, server)
    document = failed(host)
    assert outcomes(document) == {"write-event": "done", "send-mail": "done"}
    [event] = host.events()
    assert (event["event_type"], event["source"]) == ("health.fail", "ds01ctl units")
    details = event["details"]
    assert (details["unit"], details["result"], details["status"]) == (
        f"{UNIT}.service", "exit-code", "1",
    )  # fmt: skip
    assert details["last_error"].startswith("ds01ctl: resource-limits.yaml:3: bad")
    mail, host_name = server.mail, os.uname().nodename
    assert mail["Subject"] == f"[{host_name}] ds01-detect failed: exit code 1"
    assert (mail["To"], mail["From"]) == ("admin@uni.example", f"root@{host_name}")
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "\x1b" not in text
    assert "bad \\x1b[31mkey" in text
    assert "hint: correct it" in text
    assert "journalctl -u ds01-detect -n 50" in text


def test_systemd_is_not_asked_for_what_it_said(host, systemd):
    failed(host)
    assert systemd.asked() == []


def test_by_hand_systemd_is_asked(host, systemd):
    for name in MONITOR:
        del host.env[name]
    systemd.ran(UNIT, 3, ActiveState="failed", Result="signal", ExecMainCode=2, ExecMainStatus=9)
    data = failed(host)["data"]
    assert (data["result_in_words"], data["invocation"]) == ("killed by SIGKILL", INVOCATION)
    assert data["lines"][0].startswith("ds01ctl:")


def test_the_environment_is_another_unit_s(host, systemd):
    systemd.ran("ds01-state", 3, ActiveState="failed", Result="timeout", ExecMainStatus=15)
    assert failed(host, unit="ds01-state.service")["data"]["result_in_words"] == "timeout"


def test_without_an_address_nobody_is_mailed(host, systemd):
    assert outcomes(failed(host)) == {"write-event": "done"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [("X-DS01-MailTo=alice\n", "alice"), ("X-DS01-MailTo=\n", None), ("", "admin@uni.example")],
)
def test_whom_the_unit_names_is_told(host, systemd, server, said, expected):
    """A converted cron line goes to its MAILTO."""
    policy_of(host, server)
    (systemd.unit_dir / f"{UNIT}.service").write_text(f"[Unit]\n{said}[Service]\n")
    failed(host)
    assert [message_from_bytes(one)["To"] for one in server.mails] == (
        [expected] if expected else []
    )
    recipients = [one for one in server.said if one.lower().startswith("rcpt")]
    assert recipients == ([f"rcpt TO:<{expected}>"] if expected else [])


# --- how often ----------------------------------------------------------------------------------


def test_a_row_of_failures_is_told_once(host, systemd, server):
    policy_of(host, server)
    for _ in range(3):
        document = failed(host)
    assert (document["data"]["failures"], document["actions"]) == (3, [])
    assert (len(host.events()), len(server.mails)) == (1, 1)


def test_it_is_told_again_while_it_goes_on(host, systemd, server):
    policy_of(host, server)
    failed(host)
    age_the_streak(host, began_at=2, told_at=1.1, mailed_at=1.1)
    assert outcomes(failed(host)) == {"write-event": "done"}
    age_the_streak(host, began_at=24, mailed_at=23.1)
    assert outcomes(failed(host)) == {"send-mail": "done"}
    assert (
        "3 failures in a row" in message_from_bytes(server.mails[1], policy=default).get_content()
    )


def test_after_a_quiet_time_it_is_told_anew(host, systemd, server):
    policy_of(host, server)
    failed(host)
    age_the_streak(host, last_at=1.1, told_at=1.1, mailed_at=1.1)
    document = failed(host)
    assert outcomes(document) == {"write-event": "done", "send-mail": "done"}
    assert document["data"]["failures"] == 1


@pytest.mark.parametrize("text", ["", "{", "\x00" * 100, "[]", '{"began_at": 5}'])
def test_a_memory_that_makes_no_sense_is_none(host, systemd, server, text):
    policy_of(host, server)
    (host.root / "run/ds01").mkdir()
    (host.root / f"run/ds01/failed-{UNIT}.json").write_text(text)
    assert outcomes(failed(host)) == {"write-event": "done", "send-mail": "done"}
    failed(host)
    assert len(server.mails) == 1


# --- the mail server ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuse", "says"),
    [
        ({"MAIL": "550 who are you"}, "550 who are you"),
        ({"RCPT": "550 unknown"}, "refused admin@uni.example"),
        ({"DATA": "452 full"}, "452 full"),
    ],
)
def test_the_mail_server_refuses(host, systemd, server, refuse, says):
    server.refuse = refuse
    policy_of(host, server)
    document = failed(host, status=3)
    assert outcomes(document) == {"write-event": "done", "send-mail": "failed"}
    assert says in document["actions"][1]["error"]
    assert len(host.events()) == 1


def test_the_mail_server_is_down_and_comes_back(host, systemd, server):
    policy_of(host, server, port=1)
    document = failed(host, status=3)
    assert "Connection refused" in document["actions"][1]["error"]
    policy_of(host, server)
    # not at every run
    assert failed(host)["actions"] == []
    age_the_streak(host, tried_at=0.2)
    assert outcomes(failed(host)) == {"send-mail": "done"}
    assert len(host.events()) == 1


def test_a_log_in(host, systemd, server, tmp_path):
    (tmp_path / "mail-password").write_text("s3cret\n")
    host.env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    policy_of(host, server, user="ds01")
    ran = host.run("units", "failed", UNIT)
    assert ran.status == 0
    [log_in] = [one for one in server.said if one.upper().startswith("AUTH")]
    import base64

    assert base64.b64decode(log_in.split()[2]) == b"\0ds01\0s3cret"
    assert "s3cret" not in ran.out + ran.err + host.events_path.read_text()


def test_systemd_found_no_password(host, systemd, server, tmp_path):
    """The unit runs all the same, tells of the failure, and names the file that is missing."""
    policy_of(host, server, user="ds01", password_file="/etc/ds01/mail-password")
    (tmp_path / "mail-password").write_text("none")
    host.env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    document = failed(host, status=3)
    assert document["actions"][0]["outcome"] == "done"
    assert "etc/ds01/mail-password: No such file" in document["actions"][1]["error"]


def test_the_file_with_the_password_cannot_be_read(host, systemd, server):
    policy_of(host, server, user="ds01", password_file="/etc/ds01/mail-password")
    document = failed(host, status=3)
    assert "mail-password: No such file" in document["actions"][1]["error"]
    assert server.mails == []


@pytest.mark.parametrize(
    ("named", "status", "said"),
    [
        ({}, 3, "systemd found no file with the mail server's password"),
        ({"password_file": "/etc/ds01/gone"}, 3, "etc/ds01/gone: No such file"),
        ({"password_file": "/etc/ds01/late"}, 0, None),
    ],
)
def test_systemd_did_not_find_the_password(host, systemd, server, tmp_path, named, status, said):
    """It hands over a word instead, so that the event is written all the same."""
    from ds01ctl.unitfiles.units import HANDED_NOTHING

    (tmp_path / "mail-password").write_text(HANDED_NOTHING)
    host.env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    policy_of(host, server, user="ds01", **named)
    (host.root / "etc/ds01/late").write_text("s3cret")
    document = failed(host, status=status)
    assert outcomes(document)["write-event"] == "done"
    assert (said or "") in (document["actions"][1]["error"] or "")
    assert (len(server.mails), len(host.events())) == (not said, 1)


def test_a_password_never_crosses_the_network_in_the_clear(host, systemd, server):
    policy_of(host, server, user="ds01", host="mail.uni.example")
    document = failed(host, status=3)
    assert "in the clear" in document["actions"][1]["error"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    argv += ["-keyout", str(path), "-out", str(path.with_name("cert.pem"))]
    subprocess.run(argv, check=True, capture_output=True)
    with path.open("a") as file:
        file.write(path.with_name("cert.pem").read_text())
    return path


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_secret_connection(host, systemd, certificate, security, is_trusted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = MailServer(context, tls=security == "tls")
    try:
        policy_of(host, server, host="localhost", security=security)
        if is_trusted:
            host.env["SSL_CERT_FILE"] = str(certificate.with_name("cert.pem"))
        document = failed(host, status=0 if is_trusted else 3)
        assert len(server.mails) == is_trusted
        if not is_trusted:
            assert "certificate" in document["actions"][1]["error"]
    finally:
        server.stop()


def test_a_server_without_tls_gets_nothing(host, systemd, server):
    policy_of(host, server, security="starttls")
    assert outcomes(failed(host, status=3))["send-mail"] == "failed"
    assert server.mails == []


# --- hostile input ------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["a@b.org\tBcc:x@y.org", "-oX", "<a@b>", "ü@b.org", "a@b@c"])
def test_an_address_that_would_be_more_than_one(host, systemd, server, address):
    policy_of(host, server)
    (systemd.unit_dir / f"{UNIT}.service").write_text(f"[Unit]\nX-DS01-MailTo={address}\n")
    document = failed(host, status=3)
    assert "cannot stand in a mail" in document["actions"][1]["error"]
    assert (server.mails, len(host.events())) == ([], 1)


def test_hostile_lines_stay_lines(host, systemd, server):
    systemd.journal(line(UNIT, "\r\n.\r\nMAIL FROM:<x>\x1b[2J\u202e" + "y" * 5000), line(UNIT, "."))
    policy_of(host, server)
    assert outcomes(failed(host))["send-mail"] == "done"
    text = server.mail.get_content()
    assert "\\u202e" in text
    assert max(map(len, text.splitlines())) < 500


@pytest.mark.parametrize("unit", ["../../etc/passwd", "a b", "a\nb", "", "..", "x" * 300, "ä"])
def test_what_is_no_unit(host, systemd, unit):
    assert host.run("units", "failed", unit).status == 2
    assert not (host.root / "run/ds01").exists()


# --- bad days -----------------------------------------------------------------------------------


def test_the_policy_is_broken(host, systemd, server):
    host.policy("detect: {scans: never}\n")
    document = failed(host)
    assert "scans" in document["data"]["policy_problem"]
    assert "scans" in host.events()[0]["details"]["policy_problem"]


@pytest.mark.parametrize(
    ("text", "mails"),
    [
        ("detect: {scans: never}\n", 1),
        ("detect: {scans: never}\nmail: {security: maybe}\n", 0),
        ("detect: [}\n", 0),
        ("groups: {x: {members: 5, max_tasks: no}}\n", 1),
        ("detekt: {}\n", 1),
    ],
)
def test_a_broken_policy_is_mailed_by_what_is_right_in_it(host, systemd, server, text, mails):
    """The commonest failure of all must not silence the mail."""
    mail = f"mail: {{to: [a@b.org], host: 127.0.0.1, port: {server.port}}}\n"
    host.policy(text if "mail:" in text else mail + text)
    document = failed(host)
    assert document["data"]["policy_problem"]
    assert len(server.mails) == mails
    if mails:
        assert "Note:   the policy cannot be used" in server.mail.get_content()


def test_the_policy_is_gone(host, systemd, server):
    host.env["DS01_CONFIG"] = "/nowhere/limits.yaml"
    assert "no such file" in failed(host)["data"]["policy_problem"]
    assert len(host.events()) == 1


def test_the_store_is_broken_or_locked(host, systemd, server):
    host.state_path.write_text("x" * 5000)
    policy_of(host, server)
    assert outcomes(failed(host)) == {"write-event": "done", "send-mail": "done"}


def test_the_log_cannot_be_written(host, systemd, server):
    """The mail goes all the same; the event is tried again at the next failure."""
    policy_of(host, server)
    host.events_path.mkdir()
    document = failed(host, status=3)
    assert outcomes(document) == {"write-event": "failed", "send-mail": "done"}
    host.events_path.rmdir()
    assert outcomes(failed(host)) == {"write-event": "done"}


def test_nothing_can_be_remembered(host, systemd, server):
    """Rather no mail than one every 30 seconds."""
    policy_of(host, server)
    (host.root / f"run/ds01/failed-{UNIT}.json").mkdir(parents=True)
    document = failed(host, status=3)
    assert ("memory", "failed") in gaps(document)
    assert outcomes(document) == {"write-event": "done", "send-mail": "failed"}
    assert server.mails == []


def test_neither_journal_nor_systemd(host, systemd, server):
    for name in MONITOR:
        del host.env[name]
    systemd.fail("Connection timed out")
    policy_of(host, server)
    document = failed(host)
    assert ("systemd", "failed") in gaps(document)
    assert outcomes(document) == {"write-event": "done", "send-mail": "done"}
    assert "unknown reason" in server.mail["Subject"]
    assert "no line of this run" in server.mail.get_content()
