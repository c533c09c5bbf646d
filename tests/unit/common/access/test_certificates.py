"""Certificates of the bus: made of the secret alone, so that everybody who has it makes the same authority."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from directpv_common.access.certificates import LOCAL, Authority
from directpv_common.access.installation import keys_of
from directpv_common.access.nkey import new_nkey
from directpv_common.access.rendering import Files, hub_settings, leaf_settings, listeners
from directpv_common.protocol.subjects import Subjects

SECRET = "of a test, " * 8
HUB = "cluster { name: x, routes: [nats://a:1, nats://b:1] }\n"
FILES = Files("/c", "/k", "/a")


def authority(secret: str = SECRET) -> Authority:
    return keys_of(secret).authority


def test_the_same_secret_makes_the_same_certificate_and_another_one_another_with_another_name() -> None:
    first, other = authority(), authority(SECRET + "x")
    assert first.certificate == authority().certificate
    subjects = {x509.load_pem_x509_certificate(each.certificate.encode()).subject for each in (first, other)}
    assert len(subjects) == 2


def test_the_authority_is_an_authority_of_servers_and_nothing_below_it_is_one() -> None:
    root = x509.load_pem_x509_certificate(authority().certificate.encode())
    issued = x509.load_pem_x509_certificate(authority().issue(["nats.directpv.svc"]).certificate.encode())
    issued.verify_directly_issued_by(root)
    constraints = [each.extensions.get_extension_for_class(x509.BasicConstraints).value for each in (root, issued)]
    assert [(each.ca, each.path_length) for each in constraints] == [(True, 0), (False, None)]


def test_a_certificate_is_for_the_names_that_were_asked_for() -> None:
    issued = x509.load_pem_x509_certificate(authority().issue(["nats.directpv.svc", *LOCAL]).certificate.encode())
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["nats.directpv.svc", "localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_two_certificates_have_keys_of_their_own() -> None:
    assert authority().issue(["a"]).key != authority().issue(["a"]).key


@pytest.mark.parametrize("wrong", [timedelta(minutes=-30), timedelta(days=-365), timedelta(days=3650)])
def test_a_clock_that_is_wrong_accepts_it_all_the_same(wrong: timedelta) -> None:
    now = datetime.now(UTC) + wrong
    issued = x509.load_pem_x509_certificate(authority().issue(["a"]).certificate.encode())
    assert issued.not_valid_before_utc < now < issued.not_valid_after_utc


def test_a_hub_asks_servers_for_certificates_and_clients_for_none() -> None:
    text = hub_settings(HUB, keys_of(SECRET), Subjects("p"), FILES.mutual()) + listeners(FILES, "0.0.0.0:7443")
    assert text.count('ca_file: "/a"') == 1
    assert text.count('min_version: "1.3"') == 3
    assert "tls" not in hub_settings(HUB, keys_of(SECRET), Subjects("p"))


def test_a_nodes_server_has_tls_where_an_authority_is_named() -> None:
    text = 'leafnodes { remotes: [{ urls: ["wss://a:1"] }] }'
    assert 'ca_file: "/a"' in leaf_settings(text, new_nkey(), 1, "/a")
    assert "tls" not in leaf_settings(text, new_nkey(), 1)
