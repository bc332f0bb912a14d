//! What the client shows of itself: certificates, keys of all kinds, and what is wrong with them.

use std::path::Path;

use klamm::config::TlsConfig;
use klamm::{Client, ErrorKind};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::front::Server;
use crate::{Authority, Folder, Issued, NODE, ask, broker, client, server, tls_failure};

/// Trusts `ca` and shows `issued`.
fn showing(ca: &Authority, issued: &Issued) -> TlsConfig {
    TlsConfig::new().ca(ca.pem()).client_certificate(&issued.certificate).client_key(issued.key_pem())
}

/// Why a client cannot be built.
fn refusal(tls: TlsConfig) -> String {
    let broker = broker();
    let error = client(broker.connector(), tls).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    format!("{error} {error:?}")
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_asks_for_a_certificate_is_shown_it_and_refuses_who_has_none_or_another() {
    let (ca, other, broker) = (Authority::new("ca"), Authority::new("other"), broker());
    let issued = ca.broker(&[NODE]);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let front = || server(&issued).clients_from(&ca).only(version).before(&broker);
        let alice = ca.client("alice");
        let welcome = front();
        ask(&client(welcome.clone(), showing(&ca, &alice)).connect().await.unwrap()).await.unwrap();
        let shown = CertificateDer::from_pem_slice(alice.certificate.as_bytes()).unwrap();
        assert!(welcome.seen().iter().all(|seen| seen.certificates == [shown.clone()] && seen.version == Some(version)));

        let error = client(front(), TlsConfig::new().ca(ca.pem())).connect().await.unwrap_err();
        let said = tls_failure(&error);
        assert!(said.contains("asks for a client's certificate") && said.contains("ssl.keystore"), "{version:?}: {said}");
        let error = client(front(), showing(&ca, &other.client("mallory"))).connect().await.unwrap_err();
        let said = tls_failure(&error);
        assert!(said.contains("does not accept the client's certificate"), "{version:?}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_ask_is_shown_nothing() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let front = server(&ca.broker(&[NODE])).before(&broker);
    ask(&client(front.clone(), showing(&ca, &ca.client("alice"))).connect().await.unwrap()).await.unwrap();
    assert!(front.seen().iter().all(|seen| seen.certificates.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn rk_206_an_encrypted_key_is_opened_with_its_password_and_no_other() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let (issued, alice) = (ca.broker(&[NODE]), ca.client("alice"));
    let tls = || {
        let key = alice.encrypted_key_pem("key-secret");
        TlsConfig::new().ca(ca.pem()).client_certificate(&alice.certificate).client_key(key)
    };
    let front = server(&issued).clients_from(&ca).before(&broker);
    ask(&client(front, tls().client_key_password("key-secret")).connect().await.unwrap()).await.unwrap();
    for wrong in ["canary", "key-secret ", "Key-secret"] {
        let said = refusal(tls().client_key_password(wrong));
        assert!(said.contains("password of the private key (ssl.key.password) is wrong") && !said.contains("canary"), "{said}");
    }
    for none in [tls(), tls().client_key_password("")] {
        let said = refusal(none);
        assert!(said.contains("no password is given for it (ssl.key.password)"), "{said}");
    }
    let folder = Folder::new();
    let file = folder.file("me.key", alice.encrypted_key_pem("key-secret"));
    let tls = TlsConfig::new().client_certificate(&alice.certificate).client_key_file(file).client_key_password("canary");
    let said = refusal(tls);
    assert!(said.contains("me.key") && !said.contains("canary"), "{said}");
}

/// What OpenSSL 3 writes: `openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512 -passout pass:key-secret`.
#[tokio::test(start_paused = true)]
async fn a_key_that_openssl_encrypted_is_opened() {
    let key = KeyPair::from_pem(include_str!("rsa.key")).unwrap();
    let (ca, broker) = (Authority::new("ca"), broker());
    let alice = ca.client_with_key("alice", key);
    let tls = TlsConfig::new().ca(ca.pem()).client_certificate(&alice.certificate);
    let tls = tls.client_key(include_str!("rsa.encrypted.key")).client_key_password("key-secret");
    let front = server(&ca.broker(&[NODE])).clients_from(&ca).before(&broker);
    ask(&client(front, tls).connect().await.unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_207_the_server_sees_the_leaf_and_both_intermediates_in_order() {
    let (root, broker) = (Authority::new("root"), broker());
    let first = root.intermediate("first");
    let second = first.intermediate("second");
    let (issued, alice) = (root.broker(&[NODE]), second.client("alice"));
    let chain = second.pem() + &first.pem();
    let expected: Vec<_> =
        CertificateDer::pem_slice_iter((alice.certificate.clone() + &chain).as_bytes()).map(Result::unwrap).collect();
    let tls = || TlsConfig::new().ca(root.pem()).client_key(alice.key_pem());
    let folder = Folder::new();
    let store = folder.file("me.pem", alice.key_pem() + &alice.certificate + &chain);
    for (way, tls) in [
        ("apart", tls().client_certificate(&alice.certificate).client_certificate_chain(&chain)),
        ("in one text", tls().client_certificate(alice.certificate.clone() + &chain)),
        ("with Windows' line ends and none at the end", {
            let chain = chain.trim_end().replace('\n', "\r\n");
            tls().client_certificate(&alice.certificate).client_certificate_chain(chain)
        }),
        ("in a store", TlsConfig::new().ca(root.pem()).client_identity_file(store)),
    ] {
        let front = server(&issued).clients_from(&root).before(&broker);
        ask(&client(front.clone(), tls).connect().await.unwrap()).await.unwrap();
        assert_eq!(front.seen()[0].certificates, expected, "{way}");
    }
    let error = client(server(&issued).clients_from(&root).before(&broker), tls().client_certificate(&alice.certificate));
    let error = error.connect().await.unwrap_err();
    assert!(tls_failure(&error).contains("with all that stand between"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn keys_of_all_kinds_are_read() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    let rsa = || KeyPair::from_pem(include_str!("rsa.key")).unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let (p256, p384) = (ca.client("p256"), ca.client_with_key("p384", p384));
    let ed25519 = ca.client_with_key("ed25519", KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let rsa = ca.client_with_key("rsa", rsa());
    for (kind, issued_to, key) in [
        ("PKCS#8, ECDSA P-256", &p256, p256.key_pem()),
        ("SEC1, P-256", &p256, p256.traditional_key_pem("EC PRIVATE KEY")),
        ("PKCS#8, ECDSA P-384", &p384, p384.key_pem()),
        ("SEC1, P-384", &p384, p384.traditional_key_pem("EC PRIVATE KEY")),
        ("PKCS#8, Ed25519", &ed25519, ed25519.key_pem()),
        ("PKCS#8, RSA", &rsa, rsa.key_pem()),
        ("PKCS#1, RSA", &rsa, rsa.traditional_key_pem("RSA PRIVATE KEY")),
    ] {
        let tls = TlsConfig::new().ca(ca.pem()).client_certificate(&issued_to.certificate).client_key(key);
        let front = server(&issued).clients_from(&ca).before(&broker);
        let client = client(front, tls).connect().await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        ask(&client).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_wrong_with_certificates_and_keys_is_said_with_setting_and_file() {
    let ca = Authority::new("ca");
    let (alice, bob) = (ca.client("alice"), ca.client("bob"));
    let der = CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap();
    let folder = Folder::new();
    let tls = TlsConfig::new;
    let file = |name: &str, content: &[u8]| folder.file(name, content);
    let cut = ca.pem().replace("-----END", "-----FIN");
    let damaged = "-----BEGIN CERTIFICATE-----\nAQIDBA==\n-----END CERTIFICATE-----\n";
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nAQIDBA==\n-----END DSA PRIVATE KEY-----\n";
    let none = "-----BEGIN PRIVATE KEY-----\nAQIDBA==\n-----END PRIVATE KEY-----\n";
    let pair = |certificate: &str, key: &str| tls().client_certificate(certificate).client_key(key);
    for (tls, parts) in [
        (tls().ca_file(folder.path("none.crt")), &["none.crt", "cannot be read", "ssl.truststore.location"][..]),
        (tls().ca_file(folder.path(".")), &["cannot be read"]),
        (tls().ca_file(file("empty.crt", b"")), &["empty.crt", "it is empty"]),
        (
            tls().ca_file(file("my.jks", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2])),
            &["my.jks", "keytool -importkeystore", "openssl pkcs12"],
        ),
        (tls().ca_file(file("my.p12", &[0x30, 0x82, 1, 2, 2, 1, 3])), &["my.p12", "openssl pkcs12 -in"]),
        (tls().ca_file(file("ca.der", &der)), &["ca.der", "openssl x509 -inform der"]),
        (tls().ca_file(file("random", b"\0\x01canary\xff")), &["random", "not PEM"]),
        (tls().ca(""), &["ssl.truststore.certificates", "not PEM"]),
        (tls().ca("canary"), &["ssl.truststore.certificates", "not PEM"]),
        (tls().ca(cut), &["has no \"-----END CERTIFICATE-----\""]),
        (tls().ca(alice.key_pem()), &["no certificate in it, but \"PRIVATE KEY\""]),
        (tls().ca(ca.pem() + damaged), &["certificate number 2 in it is damaged"]),
        (pair("canary", &alice.key_pem()), &["ssl.keystore.certificate.chain", "not PEM"]),
        (pair(&alice.key_pem(), &alice.key_pem()), &["ssl.keystore.certificate.chain", "no certificate in it"]),
        (pair(damaged, &alice.key_pem()), &["ssl.keystore.certificate.chain", "cannot be used"]),
        (pair(&alice.certificate, "canary"), &["ssl.keystore.key", "not PEM"]),
        (pair(&alice.certificate, &alice.certificate), &["ssl.keystore.key", "no private key in it, but \"CERTIFICATE\""]),
        (pair(&alice.certificate, dsa), &["DSA PRIVATE KEY", "Ed25519"]),
        (pair(&alice.certificate, none), &["ssl.keystore.key", "cannot be used", "Ed25519"]),
        (pair(&alice.certificate, &bob.key_pem()), &["ssl.keystore.key", "not that of the client's certificate"]),
        (pair(&alice.certificate, &alice.key_pem()).client_certificate_chain("canary"), &["client_certificate_chain", "not PEM"]),
        (
            tls()
                .client_certificate_file(file("a.crt", alice.certificate.as_bytes()))
                .client_key_file(file("b.key", bob.key_pem().as_bytes())),
            &["ssl.key.location", "b.key", "ssl.certificate.location", "a.crt"],
        ),
        (
            tls().client_identity_file(file("store.pem", alice.certificate.as_bytes())),
            &["ssl.keystore.location", "store.pem", "no private key"],
        ),
    ] {
        let said = refusal(tls);
        assert!(parts.iter().all(|part| said.contains(part)) && !said.contains("canary"), "{parts:?}: {said}");
    }
}

#[tokio::test]
async fn no_damage_to_a_key_file_is_taken_for_a_key_of_another_or_panics() {
    let ca = Authority::new("ca");
    let alice = ca.client("alice");
    for key in [alice.key_pem(), alice.encrypted_key_pem("p"), alice.traditional_key_pem("EC PRIVATE KEY")] {
        // To open an encrypted one takes its time.
        let step = if key.contains("ENCRYPTED") { 67 } else { 7 };
        for at in (0..key.len()).step_by(step) {
            let mut damaged = key.clone().into_bytes();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            let tls =
                |key: &str| TlsConfig::new().client_certificate(&alice.certificate).client_key(key).client_key_password("p");
            let broker = broker();
            for key in [damaged.as_str(), &key[..at]] {
                if let Err(error) = client(broker.connector(), tls(key)).build() {
                    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                }
            }
        }
    }
}

/// Waits until a file written now has another time than one written before.
fn replace(path: &Path, content: &str) {
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    while std::fs::metadata(path).unwrap().modified().unwrap() == before {
        std::fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn files_that_are_replaced_are_read_again_for_new_connections() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    let (old, new) = (ca.client("old"), ca.client("new"));
    let der = |issued: &Issued| CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let folder = Folder::new();
    let certificate = folder.file("me.crt", &old.certificate);
    let key = folder.file("me.key", old.key_pem());
    let authorities = folder.file("ca.crt", ca.pem());
    let tls = TlsConfig::new().ca_file(&authorities).client_certificate_file(&certificate).client_key_file(&key);
    let front = Server::clients_from(server(&issued), &ca).before(&broker);
    let client: Client = client(front.clone(), tls).connect().await.unwrap();
    let shown = async || {
        broker.close_connections(1);
        // What was open when it closed may be the answer to the first.
        while ask(&client).await.is_err() {}
        front.seen().last().unwrap().certificates.clone()
    };
    assert_eq!(shown().await, [der(&old)]);
    // Half of the pair: it does not fit, so the one read before stays.
    replace(&certificate, &new.certificate);
    assert_eq!(shown().await, [der(&old)]);
    replace(&key, &new.key_pem());
    assert_eq!(shown().await, [der(&new)]);
    std::fs::remove_file(&authorities).unwrap();
    assert_eq!(shown().await, [der(&new)]);
}

#[tokio::test]
async fn rk_203_what_is_missing_is_found_where_a_client_is_built() {
    let tls = TlsConfig::new;
    for (tls, missing) in [
        (tls().client_certificate("c"), "no private key"),
        (tls().client_key("k"), "no certificate"),
        (tls().client_certificate_chain("c").client_key("k"), "not the client's own certificate"),
        (tls().client_key_password("p"), "no private key that it opens"),
        (tls().system_roots(false), "no others are given"),
    ] {
        let shown = refusal(tls);
        assert!(shown.contains(missing), "{shown}");
    }
}
