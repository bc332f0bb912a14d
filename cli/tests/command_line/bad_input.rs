//! What a user can get wrong: each is said once, with what failed, where, and what to do, and has its exit code.

use std::time::{Duration, Instant};

use klamm_broker::{Broker, SaslMechanism};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{klamm, start};

/// An address where nobody listens.
fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn no_broker_at_the_address_is_one_clean_line() {
    let address = nobody();
    let begin = Instant::now();
    for arguments in [&["cluster"][..], &["produce", "t"], &["consume", "t"], &["consume", "t", "--group", "g"]] {
        let ran =
            klamm(&[&["-b", &address], arguments].concat(), "").await.failure(1, &["cannot connect to", "refused", "check"]);
        let message: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("klamm: ")).collect();
        assert_eq!(message.len(), 1, "{}", ran.stderr);
        assert_eq!(message[0].matches(&*address).count(), 1, "{}", ran.stderr);
        assert_eq!(message[0].matches("check").count(), 1, "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn who_logs_in_is_served_and_who_is_refused_hears_the_brokers_reason_at_once() {
    let (_broker, brokers) =
        start(Broker::builder().topic("t", 1).sasl_user(SaslMechanism::ScramSha256, "alice", "alice-secret")).await;
    let run = async |password: &str, arguments: &[&str]| {
        let login = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=SCRAM-SHA-256", "-X", "sasl.username=alice"];
        let password = format!("sasl.password={password}");
        klamm(&[&["-b", &brokers], &login[..], &["-X", &password], arguments].concat(), "in\n").await
    };
    let ran = run("alice-secret", &["produce", "t"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ran = run("alice-secret", &["consume", "t", "--exit-at-end"]).await;
    assert!(ran.code == Some(0) && ran.stdout.contains("in"), "{} {}", ran.stdout, ran.stderr);
    let begin = Instant::now();
    for arguments in [&["cluster"][..], &["produce", "t"], &["consume", "t"], &["consume", "t", "--group", "g"]] {
        let ran =
            run("canary", arguments).await.failure(1, &["refused SASL SCRAM-SHA-256", "alice", "invalid credentials", "check"]);
        let message: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("klamm: ")).collect();
        assert!(message.len() == 1 && message[0].matches("refused").count() == 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_port_that_speaks_http_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 64]).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    klamm(&["-b", &address, "topics", "list"], "").await.failure(1, &["HTTP", &address]);
}

#[tokio::test]
async fn seeds_and_settings_that_cannot_be_are_wrong_usage() {
    let address = nobody();
    for (arguments, words) in [
        (&["cluster"][..], &["-b HOST:PORT", "KLAMM_BROKERS"][..]),
        (&["-b", "", "cluster"], &["no brokers"]),
        (&["-b", "a:b:c:9092", "cluster"], &["a:b:c:9092"]),
        (&["-b", "host:99999", "cluster"], &["host:99999"]),
        (&["-b", &address, "-X", "linger", "produce", "t"], &["-X linger", "KEY=VALUE"]),
        (&["-b", &address, "-X", "lingr.ms=5", "produce", "t"], &["lingr.ms", "linger.ms"]),
        (&["-b", &address, "-X", "linger.ms=soon", "produce", "t"], &["linger.ms", "soon"]),
        (&["-b", &address, "produce", "t", "--acks", "0", "--idempotent", "true"], &["acks"]),
        (&["-b", &address, "-X", "delivery.timeout.ms=1", "produce", "t"], &["delivery.timeout.ms"]),
        (&["-b", &address, "produce", "t", "--compression", "rar"], &["rar"]),
        (&["-b", &address, "produce", "t", "--header", "x"], &["--header x", "KEY=VALUE"]),
        (&["-b", &address, "produce", "t", "--file", "/no/such/file"], &["/no/such/file"]),
        (&["-b", &address, "produce", "not a topic"], &["not a topic"]),
        (&["-b", &address, "consume", ".."], &[".."]),
        (&["-b", &address, "consume", "t", "--group", ""], &["group"]),
        (&["-b", &address, "consume", "t", "--offset", "middle"], &["middle", "beginning, end"]),
        (&["-b", &address, "consume", "t", "--group", "g", "--offset", "5"], &["--offset", "beginning or end"]),
        (&["-b", &address, "consume", "t", "--group", "g", "--offset", "-5"], &["--offset", "beginning or end"]),
        (&["-b", &address, "consume", "t", "--group", "g", "--partition", "1"], &["--partition", "--group"]),
        (&["-b", &address, "consume", "t", "--format", "%x"], &["%x", "%s"]),
        (&["-b", &address, "-X", "auto.offset.reset=none", "consume", "t"], &["--offset"]),
        (&["-b", &address, "consume", "orders(", "--regex"], &["\"orders(\""]),
        (&["-b", &address, "consume", "orders(", "--regex", "--group", "g"], &["\"orders(\""]),
        (&["-b", &address, "topics", "alter", "t"], &["--config KEY=VALUE", "--delete-config"]),
        (&["-b", &address, "topics", "alter", "t", "--append-config", "k"], &["--append-config k", "KEY=ITEMS"]),
        (&["-b", &address, "topics", "list", "--config", "a=b"], &["-X a=…"]),
        (&["-b", &address, "configs", "describe", "topic", "t", "--config", "a=b"], &["-X a=…"]),
        (&["-b", &address, "configs", "alter", "broker", "one", "--config", "a=b"], &["broker one", "number"]),
        (&["-b", &address, "configs", "describe", "user", "t"], &["user", "topic"]),
        (&["-b", &address, "groups", "delete", "g"], &["--yes"]),
        (&["-b", &address, "groups", "delete-offsets", "g"], &["--topic"]),
        (&["-b", &address, "groups", "delete-offsets", "g", "--topic", "t:x", "--yes"], &["t:x"]),
        (&["-b", &address, "query-offsets", "t:x"], &["t:x"]),
        (&["-b", &address, "query-offsets", "t", "--at", "noon"], &["noon", "max-timestamp"]),
        (&["-b", &address, "--timeout", "0", "cluster"], &["--timeout 0"]),
        (&["-b", &address, "--config", "/no/such/file", "cluster"], &["/no/such/file"]),
        (&["-b", &address, "--config", "a=b", "cluster"], &["-X a=…"]),
        (&["-b", &address, "no-such-command"], &["no-such-command"]),
        (&["-b", &address, "consume"], &["TOPIC"]),
        (&["records"], &["decode"]),
    ] {
        let ran = klamm(arguments, "").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments:?}: no {word:?} in: {}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn what_a_later_release_brings_is_said_to_be_not_built_yet() {
    let address = nobody();
    for arguments in [
        &["produce", "t", "--transactional-id", "x"][..],
        &["consume", "t", "--group", "g", "--protocol", "consumer"],
        &["brokers"],
        &["quorum"],
        &["log-dirs", "--json"],
        &["acls", "list", "--topic", "t"],
        &["transactions", "abort", "x"],
        &["topics", "delete-records", "t:0:5"],
        &["groups", "reset", "g", "--topic", "t", "--to", "beginning"],
        &["-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=GSSAPI", "cluster"],
        &["-X", "transactional.id=x", "produce", "t"],
        &["-X", "group.protocol=consumer", "consume", "t", "--group", "g"],
    ] {
        let ran = klamm(&[&["-b", &*address], arguments].concat(), "").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("not built yet"), "{arguments:?}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn topics_and_partitions_that_are_not_there_are_refused() {
    let (_broker, brokers) = start(Broker::builder().topic("t", 2)).await;
    for (arguments, words) in [
        (&["-X", "max.block.ms=1000", "produce", "missing"][..], &["missing", "create it"][..]),
        (&["produce", "t", "--partition", "7"], &["7", "t"]),
        (&["consume", "missing"], &["missing"]),
        (&["consume", "t", "--partition", "7"], &["no partition 7", "it has 2"]),
        (&["consume", "t", "--offset", "99", "--exit-at-end"], &["99", "OUT_OF_RANGE"]),
        (&["query-offsets", "missing"], &["missing"]),
        (&["query-offsets", "t:7"], &["t", "7"]),
        (&["topics", "describe", "missing"], &["missing"]),
        (&["topics", "add-partitions", "missing", "3"], &["missing"]),
        (&["topics", "create", "t"], &["t", "TOPIC_ALREADY_EXISTS"]),
    ] {
        let ran = klamm(&[&["-b", &*brokers], arguments].concat(), "x\n").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{arguments:?}: {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments:?}: no {word:?} in: {}", ran.stderr);
        }
        if arguments.contains(&"produce") {
            assert_eq!(ran.last_error_line(), "0 delivered, 1 failed");
        }
    }
}

#[tokio::test]
async fn a_missing_topic_is_not_waited_for_as_long_as_a_full_buffer() {
    let (_broker, brokers) = start(Broker::builder()).await;
    let begin = Instant::now();
    let ran = klamm(&["-b", &brokers, "produce", "missing"], "x\ny\n").await;
    let elapsed = begin.elapsed();
    let ran = ran.failure(1, &["missing", "does not exist", "klamm topics create missing"]);
    assert_eq!(ran.last_error_line(), "0 delivered, 1 failed");
    assert!(elapsed >= Duration::from_secs(5) && elapsed < Duration::from_secs(50), "{elapsed:?}");
}

#[tokio::test]
async fn a_topic_that_appears_while_it_is_looked_for_is_written_to() {
    let (broker, brokers) = start(Broker::builder()).await;
    let mut producing = super::Running::start(&["-b", &brokers, "produce", "late"]);
    producing.write(b"x\n").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    broker.create_topic("late", 1);
    drop(producing.input.take());
    assert_eq!(producing.end().await.success().last_error_line(), "1 delivered, 0 failed");
}

#[tokio::test]
async fn settings_come_from_a_file_and_what_is_given_beside_it_wins() {
    let (broker, brokers) = start(Broker::builder()).await;
    let path = std::env::temp_dir().join(format!("klamm-settings-{}", std::process::id()));
    std::fs::write(&path, format!("bootstrap.servers={brokers}\nclient.id=file\n")).unwrap();
    let file = path.to_str().unwrap();
    klamm(&["--config", file, "cluster"], "").await.success();
    let ids = || broker.requests().into_iter().filter_map(|request| request.client_id).collect::<Vec<_>>();
    assert!(ids().iter().all(|id| *id == "file"), "{:?}", ids());
    broker.clear_requests();
    klamm(&["--config", file, "-X", "client.id=argument", "cluster"], "").await.success();
    assert!(ids().iter().all(|id| *id == "argument"), "{:?}", ids());
    klamm(&["--config", file, "-b", &nobody(), "cluster"], "").await.failure(1, &["refused"]);
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_klamm"));
    let ran = command.arg("cluster").env("KLAMM_BROKERS", &brokers).output().await.unwrap();
    assert!(ran.status.success(), "{ran:?}");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_name_that_no_topic_can_have_is_wrong_usage_for_every_command() {
    for arguments in [
        &["topics", "describe", "good", "a b"][..],
        &["topics", "create", "a b"],
        &["topics", "add-partitions", "a b", "3"],
        &["topics", "alter", "a b", "--config", "retention.ms=5"],
        &["topics", "delete", "a b", "--yes"],
        &["configs", "describe", "topic", "a b"],
        &["query-offsets", "a b:0"],
        &["groups", "delete-offsets", "g", "--topic", "a b", "--yes"],
        &["produce", "a b"],
        &["consume", "a b"],
        &["consume", "a b", "--group", "g"],
    ] {
        // Nobody listens there: it is told before a broker is looked for.
        let ran = klamm(&[&["-b", "127.0.0.1:1"], arguments].concat(), "").await;
        assert_eq!((ran.code, &*ran.stdout), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("topic \"a b\""), "{arguments:?}: {}", ran.stderr);
    }
}
