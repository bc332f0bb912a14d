//! Whom the client trusts: authorities, names, dates.

use std::time::Duration;

use klamm::config::TlsConfig;
use klamm::{Client, ErrorKind};
use rcgen::date_time_ymd;
use tokio::time::Instant;
use tracing::Level;

use crate::{Authority, Folder, NODE, ask, broker, client, logged, server, tls_failure};

#[tokio::test(start_paused = true)]
async fn rk_204_authorities_come_from_texts_and_files_alone_and_together() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let folder = Folder::new();
    let (ca_file, other_file) = (folder.file("ca.crt", ca.pem()), folder.file("other.crt", other.pem()));
    let broker = broker();
    let tls = TlsConfig::new;
    for (way, tls) in [
        ("a text", tls().ca(ca.pem())),
        ("a list of texts", tls().ca(other.pem()).ca(ca.pem())),
        ("a file", tls().ca_file(&ca_file)),
        ("a list of files", tls().ca_file(&other_file).ca_file(&ca_file)),
        ("a text beside a file", tls().ca_file(&other_file).ca(ca.pem())),
        ("a text beside the system's", tls().ca(ca.pem()).system_roots(true)),
    ] {
        let front = server(&ca.broker(&[NODE])).before(&broker);
        let client = client(front, tls).connect().await.unwrap_or_else(|error| panic!("{way}: {error}"));
        ask(&client).await.unwrap();
    }
    let missing = folder.path("missing.crt");
    let error = client(server(&ca.broker(&[NODE])).before(&broker), tls().ca_file(&missing)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let said = error.to_string();
    assert!(said.contains("missing.crt") && said.contains("ssl.truststore.location"), "{said}");
}

/// Where the system keeps its authorities is read from the environment, so this is tested in a process of its own. Apple's and
/// Microsoft's cannot be told to trust others for one process.
#[cfg(all(unix, not(target_vendor = "apple")))]
#[tokio::test]
async fn rk_204_the_systems_authorities_are_trusted_unless_others_are_given() {
    const INSIDE: &str = "KLAMM_TEST_SYSTEM_STORE";
    let ca_file = match std::env::var(INSIDE) {
        Ok(path) => path,
        Err(_) => {
            let folder = Folder::new();
            let (ca, unused) = (Authority::new("ca"), Authority::new("unused"));
            let system = folder.file("system.crt", ca.pem());
            let issued = ca.broker(&[NODE]);
            folder.file("broker.crt", &issued.certificate);
            folder.file("broker.key", issued.key_pem());
            folder.file("unused.crt", unused.pem());
            let mut inside = std::process::Command::new(std::env::current_exe().unwrap());
            inside.args(["--exact", "trust::rk_204_the_systems_authorities_are_trusted_unless_others_are_given", "--nocapture"]);
            inside.env("SSL_CERT_FILE", &system).env_remove("SSL_CERT_DIR").env(INSIDE, &system);
            let output = inside.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
            return;
        }
    };
    let folder = std::path::Path::new(&ca_file).parent().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let issued = crate::Issued { certificate: read("broker.crt"), key: rcgen::KeyPair::from_pem(&read("broker.key")).unwrap() };
    let broker = broker();
    let tls = TlsConfig::new;
    for tls in [tls(), tls().system_roots(true), tls().ca(read("unused.crt")).system_roots(true)] {
        let client = client(server(&issued).before(&broker), tls).connect().await.unwrap();
        ask(&client).await.unwrap();
    }
    let error = client(server(&issued).before(&broker), tls().ca(read("unused.crt"))).connect().await.unwrap_err();
    assert!(tls_failure(&error).contains("not among those given"), "{error}");
    // Names left unverified: the system's authorities still decide.
    let stranger = Authority::new("stranger").broker(&["elsewhere"]);
    let any = || tls().dangerous_accept_any_hostname();
    let error = client(server(&stranger).before(&broker), any()).connect().await.unwrap_err();
    assert!(tls_failure(&error).contains("the system does not trust"), "{error}");
    let builder = Client::builder("node-1.:9092").connector(server(&issued).before(&broker)).tls(any());
    ask(&builder.connect().await.unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rk_205_all_authorities_of_one_text_are_trusted() {
    let authorities = [Authority::new("one"), Authority::new("two"), Authority::new("three")];
    let text: String = authorities.iter().map(Authority::pem).collect();
    let broker = broker();
    for authority in &authorities {
        let front = server(&authority.broker(&[NODE])).before(&broker);
        ask(&client(front, TlsConfig::new().ca(&text)).connect().await.unwrap()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_of_another_authority_is_refused_at_once_with_the_setting_to_look_at() {
    let broker = broker();
    let issued = Authority::new("the broker's").broker(&[NODE]);
    let start = Instant::now();
    let tls = TlsConfig::new().ca(Authority::new("ours").pem());
    let error = client(server(&issued).before(&broker), tls).connect().await.unwrap_err();
    let said = tls_failure(&error);
    assert!(said.contains("not trusted") && said.contains("ssl.truststore.location") && said.contains("node-1:9092"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(broker.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_authority_of_the_same_name_is_no_substitute() {
    let broker = broker();
    let issued = Authority::new("ca").broker(&[NODE]);
    let error =
        client(server(&issued).before(&broker), TlsConfig::new().ca(Authority::new("ca").pem())).connect().await.unwrap_err();
    tls_failure(&error);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_out_of_its_time_is_refused_with_the_dates() {
    let (ca, broker) = (Authority::new("ca"), broker());
    for (from, until, parts) in [
        ((2019, 1, 1), (2020, 2, 29), ["expired on 2020-02-29", "now it is 20"]),
        ((2999, 12, 31), (3000, 1, 1), ["valid from 2999-12-31", "clock"]),
    ] {
        let issued = ca.broker_with(&[NODE], |params| {
            (params.not_before, params.not_after) =
                (date_time_ymd(from.0, from.1, from.2), date_time_ymd(until.0, until.1, until.2));
        });
        for tls in [TlsConfig::new(), TlsConfig::new().dangerous_accept_any_hostname()] {
            let error = client(server(&issued).before(&broker), tls.ca(ca.pem())).connect().await.unwrap_err();
            let said = tls_failure(&error);
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_name_is_refused_with_both_names_unless_any_will_do() {
    let (ca, broker) = (Authority::new("ca"), broker());
    for (names, shown) in [
        (&["elsewhere.example", "10.1.2.3"][..], &["\"elsewhere.example\"", "\"10.1.2.3\"", "not for \"node-1\""][..]),
        (&[], &["no name at all"]),
        (&["node-10", "1.node", "*.node-1"], &["\"node-10\""]),
    ] {
        let issued = ca.broker(names);
        let error = client(server(&issued).before(&broker), TlsConfig::new().ca(ca.pem())).connect().await.unwrap_err();
        let said = tls_failure(&error);
        assert!(shown.iter().all(|part| said.contains(part)), "{said}");
        let any = || TlsConfig::new().dangerous_accept_any_hostname();
        let client_of_any = client(server(&issued).before(&broker), any().ca(ca.pem())).connect().await.unwrap();
        ask(&client_of_any).await.unwrap();
        // The authority is verified all the same.
        let wrong = any().ca(Authority::new("other").pem());
        let error = client(server(&issued).before(&broker), wrong).connect().await.unwrap_err();
        assert!(tls_failure(&error).contains("not trusted"), "{error}");
    }
}

#[test]
fn that_any_name_will_do_is_warned_of_once_for_each_client() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ca = Authority::new("ca");
    let run = |tls: TlsConfig| {
        logged(Level::WARN, || {
            runtime.block_on(async {
                let broker = broker();
                let client = client(server(&ca.broker(&["x"])).before(&broker), tls.ca(ca.pem())).build().unwrap();
                let _ = ask(&client).await;
                broker.close_connections(1);
                let _ = ask(&client).await;
            });
        })
        .1
    };
    let warnings = run(TlsConfig::new().dangerous_accept_any_hostname());
    let about: Vec<_> = warnings.iter().filter(|line| line.contains("whatever name")).collect();
    assert!(about.len() == 1 && about[0].contains("ssl.endpoint.identification.algorithm"), "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn rk_208_the_broker_is_told_the_name_dialled_and_no_address() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let front = server(&ca.broker(&[NODE, "127.0.0.1", "::1"])).before(&broker);
    for (host, seed, told) in [
        (NODE, "node-1:9092", Some(NODE)),
        // One dot at the end belongs to DNS, not to the name.
        (NODE, "node-1.:9092", Some(NODE)),
        ("127.0.0.1", "127.0.0.1:9092", None),
        ("::1", "[::1]:9092", None),
    ] {
        broker.set_address(1, host, 9092);
        let before = front.seen().len();
        let tls = TlsConfig::new().ca(ca.pem());
        ask(&Client::builder(seed).connector(front.clone()).tls(tls).connect().await.unwrap()).await.unwrap();
        let seen = front.seen();
        assert!(seen.len() > before);
        assert!(seen[before..].iter().all(|seen| seen.name.as_deref() == told), "{seed}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_needs_a_certificate_of_that_address() {
    let (ca, broker) = (Authority::new("ca"), broker());
    broker.set_address(1, "127.0.0.1", 9092);
    let front = server(&ca.broker(&[NODE, "127.0.0.2"])).before(&broker);
    let tls = TlsConfig::new().ca(ca.pem());
    let error = Client::builder("127.0.0.1:9092").connector(front).tls(tls).connect().await.unwrap_err();
    let said = tls_failure(&error);
    assert!(said.contains("\"127.0.0.2\"") && said.contains("not for \"127.0.0.1\""), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_no_certificate_can_be_for_is_said() {
    let (ca, broker) = (Authority::new("ca"), broker());
    let front = server(&ca.broker(&[NODE])).before(&broker);
    let error = Client::builder("node..1:9092").connector(front).tls(TlsConfig::new().ca(ca.pem())).connect().await.unwrap_err();
    assert!(tls_failure(&error).contains("\"node..1\" is neither a DNS name nor an IP address"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_whose_authority_stands_behind_others_sends_them_along() {
    let (root, broker) = (Authority::new("root"), broker());
    let first = root.intermediate("first");
    let second = first.intermediate("second");
    let issued = second.broker(&[NODE]);
    let tls = || TlsConfig::new().ca(root.pem());
    let front = server(&issued).chain(second.pem() + &first.pem()).before(&broker);
    ask(&client(front, tls()).connect().await.unwrap()).await.unwrap();
    let error = client(server(&issued).before(&broker), tls()).connect().await.unwrap_err();
    assert!(tls_failure(&error).contains("not trusted"), "{error}");
}
