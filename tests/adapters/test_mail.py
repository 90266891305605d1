"""Mails as they leave: over real SMTP connections, and into the folder."""

import ssl
import stat
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr, ValidationError

from app.adapters.letters import Letter, LetterWriter
from app.adapters.mail import Mail, MailFolder, MailNotSent, MailRefused, MailSender, open_mail_sender
from app.settings import Settings, SMTPSettings
from tests.mails import html_of, mail_server, text_of
from tests.processes import free_port

MAIL = Mail("0190-id", "ada@example.com", "Grüße", "Ein Text\n", "<p>Ein <b>Text</b></p>")


def settings_for(url: str, **more: object) -> Settings:
    smtp = SMTPSettings(url=SecretStr(url), timeout=timedelta(seconds=5), **more)
    return Settings(_env_file=None, smtp=smtp, public_url="https://hearth.example/")


def sender_for(url: str, **more: object) -> MailSender:
    sender = open_mail_sender(settings_for(url, **more))
    assert sender is not None
    return sender


async def test_a_mail_arrives_as_it_was_written():
    async with mail_server() as server:
        await sender_for(f"smtp://ada:p%40ss%20word@127.0.0.1:{server.port}").send(MAIL)
    assert server.passwords == [(b"ada", b"p@ss word")]
    assert server.recipients == ["ada@example.com"]
    [mail] = server.received
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "Hearth <no-reply@hearth.example>",
        "ada@example.com",
        "Grüße",
    )
    assert (mail["Message-ID"], mail["Auto-Submitted"]) == ("<0190-id@hearth.example>", "auto-generated")
    assert abs(parsedate_to_datetime(mail["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert (text_of(mail).strip(), html_of(mail).strip()) == ("Ein Text", "<p>Ein <b>Text</b></p>")


async def test_addresses_beyond_ascii_are_written_as_servers_know_them():
    async with mail_server() as server:
        sender = sender_for(f"smtp://127.0.0.1:{server.port}", from_address="Härth <post@exämple.com>")
        await sender.send(Mail("1", "ada@exämple.com", "x", "x", "x"))
        await sender.send(Mail("2", "ädä@example.com", "x", "x", "x"))
    assert server.recipients == ["ada@xn--exmple-cua.com", "ädä@example.com"]
    assert server.received[0]["From"] == "Härth <post@xn--exmple-cua.com>"


async def test_a_refusal_for_good_is_told_from_one_for_now():
    for answer, expected in (("550 No such person", MailRefused), ("451 Come back later", MailNotSent)):
        async with mail_server(answer=answer) as server:
            with pytest.raises(expected):
                await sender_for(f"smtp://127.0.0.1:{server.port}").send(MAIL)
    async with mail_server() as server:
        with pytest.raises(MailNotSent, match="Authentication"):
            await sender_for(f"smtp://ada:wrong@127.0.0.1:{server.port}").send(MAIL)


async def test_a_server_that_hangs_or_is_away_is_left_in_time():
    began = time.monotonic()
    async with mail_server(is_hanging=True) as server:
        sender = sender_for(f"smtp://127.0.0.1:{server.port}", from_address="a@b.example")
        sender._timeout = 0.3
        with pytest.raises(MailNotSent):
            await sender.send(MAIL)
    with pytest.raises(MailNotSent):
        await sender_for(f"smtp://127.0.0.1:{free_port()}").send(MAIL)
    assert time.monotonic() - began < 3


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_password_never_leaves_this_machine_unencrypted(self_signed: ssl.SSLContext):
    other_machine = "127.0.0.2"  # as far as the sender knows
    for tls in (None, self_signed):  # no encryption, and such that anybody could have made
        async with mail_server(host=other_machine, tls=tls) as server:
            with pytest.raises(MailNotSent):
                await sender_for(f"smtp://ada:secret@{other_machine}:{server.port}").send(MAIL)
        assert (server.passwords, server.received) == ([], [])
    async with mail_server(host=other_machine) as server:
        await sender_for(f"smtp://{other_machine}:{server.port}").send(MAIL)  # there is no password to lose
    assert len(server.received) == 1


async def test_without_a_server_mails_are_files_for_the_owner_alone(tmp_path: Path):
    folder = tmp_path / "mails"
    for url in ("", "file:"):
        settings = settings_for(url).model_copy(update={"data_dir": tmp_path})
        sender = open_mail_sender(settings)
        assert isinstance(sender, MailFolder)
        await sender.send(Mail(url or "none", "ada@example.com", "x", "x", "x"))
    files = sorted(folder.iterdir())
    assert [file.suffix for file in files] == [".eml", ".eml"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    production = settings_for("").model_copy(update={"environment": "production"})
    assert open_mail_sender(production) is None


async def test_nothing_that_was_typed_becomes_a_header(tmp_path: Path):
    sender = open_mail_sender(settings_for("").model_copy(update={"data_dir": tmp_path}))
    assert sender is not None
    for hostile in ({"to": "ada@example.com\r\nBcc: eve@example.com"}, {"subject": "x\nBcc: eve@example.com"}):
        fields = {"id": "1", "to": "ada@example.com", "subject": "x", "text": "x", "html": "x"} | hostile
        with pytest.raises(ValueError, match="linefeed"):
            await sender.send(Mail(**fields))


HOSTILE = "<script>alert(1)</script>\r\nBcc: eve@example.com {{ 7 * 7 }}"


@pytest.mark.parametrize("letter", list(Letter))
def test_a_name_is_only_ever_text(letter: Letter):
    written = LetterWriter(base="https://hearth.example").write(
        letter, name=HOSTILE, link="https://hearth.example/#token=1", lifetime="an hour", new_email="<b>@example.com"
    )
    assert "\n" not in written.subject
    assert "Bcc" not in written.subject
    assert "<script>" not in written.html
    assert "<b>@" not in written.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written.html
    assert "49" not in written.html + written.text
    assert HOSTILE.splitlines()[0] in written.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("url", "http://mail.example"), ("url", "smtp://"), ("from_address", "nobody"), ("url", "mail.example:25")],
)
def test_settings_that_could_not_work_are_refused(name: str, value: str):
    with pytest.raises(ValidationError, match="SMTP_"):
        Settings(_env_file=None, smtp={name: value})
