//! Handshakes that go otherwise: hanging, cut, garbled, with somebody who does not speak TLS, in one version only, resumed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use klamm::config::{TlsConfig, TlsVersion};
use klamm::{Client, Error, ErrorKind};
use tokio::time::Instant;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};

use crate::{Authority, Front, NODE, Speaks, Tampered, Tampering, ask, broker, client, server, tls_failure};

const SECOND: Duration = Duration::from_secs(1);

/// How the first attempt to connect ended, and how long that took.
async fn attempt(builder: klamm::ClientBuilder) -> (Result<Client, Error>, Duration) {
    let start = Instant::now();
    let result = tokio::time::timeout(60 * SECOND, builder.connect()).await.expect("an end within a minute");
    (result, start.elapsed())
}

/// An error with all that caused it.
fn story(error: &Error) -> String {
    format!("{error:?}")
}

fn tls(ca: &Authority) -> TlsConfig {
    TlsConfig::new().ca(ca.pem())
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_ends_with_the_time_for_set_up() {
    let ca = Authority::new("ca");
    let (result, took) = attempt(client(Speaks { words: Vec::new(), closes: false }, tls(&ca))).await;
    let error = result.unwrap_err();
    assert!((8 * SECOND..=12 * SECOND).contains(&took), "{took:?}");
    assert!(story(&error).contains("none to the TLS handshake") && error.is_retriable(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_speak_tls_is_named_for_what_it_speaks() {
    let ca = Authority::new("ca");
    let http = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".to_vec();
    let kafka = vec![0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let noise = (0..5_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (words, said) in [
        (http, "answers in HTTP"),
        (kafka, "does not speak TLS; take the broker's port for TLS, or set security.protocol"),
        (vec![0xff; 100], "does not speak TLS"),
        (noise, "does not speak TLS"),
        // Alerts: no version in common; an error of its own.
        (vec![0x15, 3, 3, 0, 2, 2, 70], "no version of TLS in common"),
        (vec![0x15, 3, 3, 0, 2, 2, 80], "InternalError"),
        // A record of a handshake with nonsense inside, and one that claims to be longer than any.
        ([&[0x16, 3, 3, 0, 200][..], &[9; 200]].concat(), "does not keep to TLS"),
        (vec![0x16, 3, 3, 0xff, 0xff, 1, 2, 3], "does not keep to TLS"),
    ] {
        for closes in [true, false] {
            let (result, took) = attempt(client(Speaks { words: words.clone(), closes }, tls(&ca))).await;
            let error = tls_failure(&result.unwrap_err());
            assert!(error.contains(said) && error.contains("node-1:9092"), "{error}");
            assert!(took < SECOND, "{took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_that_closes_at_the_first_word_of_tls_may_be_one_without_tls() {
    let ca = Authority::new("ca");
    let broker = broker();
    let closing = client(Speaks { words: Vec::new(), closes: true }, tls(&ca));
    // As Kafka does: the first word of TLS is a length beyond all limits to it.
    for builder in [closing, client(broker.connector(), tls(&ca))] {
        let (result, took) = attempt(builder).await;
        let error = result.unwrap_err();
        assert!(story(&error).contains("does this listener expect TLS?"), "{error:?}");
        // A broker that starts or stops closes as well: to be tried again.
        assert!(error.is_retriable() && took < SECOND, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_tls_is_told_that_the_listener_expects_it() {
    let (ca, broker) = (Authority::new("ca"), broker());
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let front = server(&ca.broker(&[NODE])).only(version).before(&broker);
        let (result, took) = attempt(Client::builder("node-1:9092").connector(front)).await;
        let said = tls_failure(&result.unwrap_err());
        assert!(said.contains("answers in TLS") && said.contains("security.protocol=SSL"), "{said}");
        assert!(took < SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn versions_are_those_allowed_and_none_in_common_is_an_error() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    let (old, new) = (TlsVersion::Tls12, TlsVersion::Tls13);
    let (both, only_old, only_new) = (vec![old, new], vec![old], vec![new]);
    let any = |front: Front, versions: &[TlsVersion]| client(front, tls(&ca).versions(versions.to_vec()));
    let front = || server(&issued).before(&broker);
    for (front, versions, agreed) in [
        (front(), &both, ProtocolVersion::TLSv1_3),
        (front(), &only_new, ProtocolVersion::TLSv1_3),
        (front(), &only_old, ProtocolVersion::TLSv1_2),
        (server(&issued).only(ProtocolVersion::TLSv1_2).before(&broker), &both, ProtocolVersion::TLSv1_2),
        (server(&issued).only(ProtocolVersion::TLSv1_3).before(&broker), &both, ProtocolVersion::TLSv1_3),
    ] {
        ask(&any(front.clone(), versions).connect().await.unwrap()).await.unwrap();
        assert!(front.seen().iter().all(|seen| seen.version == Some(agreed)), "{versions:?}: {:?}", front.seen());
    }
    for (there, versions) in [(ProtocolVersion::TLSv1_2, &only_new), (ProtocolVersion::TLSv1_3, &only_old)] {
        let (result, _) = attempt(any(server(&issued).only(there).before(&broker), versions)).await;
        let said = tls_failure(&result.unwrap_err());
        assert!(said.contains("no version of TLS in common") && said.contains("ssl.enabled.protocols"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn further_connections_to_a_broker_resume_the_session() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let front = server(&issued).only(version).before(&broker);
        let client = client(front.clone(), tls(&ca)).connect().await.unwrap();
        ask(&client).await.unwrap();
        for _ in 0..3 {
            broker.close_connections(1);
            while ask(&client).await.is_err() {}
        }
        let kinds: Vec<_> = front.seen().iter().map(|seen| seen.handshake).collect();
        assert!(kinds.len() >= 4 && kinds[0] == Some(HandshakeKind::Full), "{kinds:?}");
        assert!(kinds[1..].contains(&Some(HandshakeKind::Resumed)), "{version:?}: {kinds:?}");
    }
}

/// Every place in what the server says until the client is served.
async fn places(front: &Front, ca: &Authority) -> usize {
    let way = Tampered::new(front.clone(), Tampering::None);
    ask(&client(way.clone(), tls(ca)).connect().await.unwrap()).await.unwrap();
    way.count.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_cut_or_silent_at_any_byte_is_an_error_in_time() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let front = server(&issued).only(version).before(&broker);
        let places = places(&front, &ca).await;
        assert!(places > 500, "{places}");
        for place in (0..places).step_by(13) {
            for (tampering, limit) in [(Tampering::Closed(place), SECOND), (Tampering::Silent(place), 12 * SECOND)] {
                let way = Tampered::new(front.clone(), tampering);
                let builder = client(way.clone(), tls(&ca)).request_timeout(10 * SECOND);
                let (result, took) = attempt(builder).await;
                assert!(took <= limit, "{tampering:?}: {took:?}");
                match result {
                    Err(error) => assert!(error.is_retriable(), "{tampering:?}: {error:?}"),
                    Ok(_) => assert!(!way.happened.load(Ordering::Relaxed) || place > 400, "{tampering:?}"),
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_flipped_bit_in_the_servers_words_gets_through_or_panics() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let issued = ca.broker(&[NODE]);
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let front = server(&issued).only(version).before(&broker);
        let places = places(&front, &ca).await;
        for place in (0..places).step_by(11) {
            let way = Tampered::new(front.clone(), Tampering::Flipped(place));
            // A record that seems longer than it is is waited for.
            let hasty = client(way.clone(), tls(&ca)).connection_setup_timeout(SECOND, SECOND).request_timeout(SECOND);
            let (result, took) = attempt(hasty).await;
            assert!(took <= 4 * SECOND, "place {place}: {took:?}");
            if let Err(error) = result {
                let kinds = [ErrorKind::Disconnected, ErrorKind::Tls, ErrorKind::Timeout];
                assert!(kinds.contains(&error.kind()), "place {place}: {error:?}");
            }
        }
    }
}
