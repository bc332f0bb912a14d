//! Sessions that end (KIP-368): renewed under traffic without a trace of it in what users see. (Regression row 29 of the reliability page.)

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use klamm::admin::OffsetSpec;
use klamm::{ErrorKind, Record, TopicPartition};
use klamm_broker::Intercept;

use super::*;

/// Answers take their time, and not all the same.
fn slow_down(broker: &Broker) {
    let mut count = 0;
    broker.intercept(move |request| {
        count += 1;
        match request.api_key {
            ApiKey::PRODUCE | ApiKey::LIST_OFFSETS | ApiKey::HEARTBEAT => {
                Intercept::DelayResponse(Duration::from_millis(1 + count % 4))
            }
            _ => Intercept::Pass,
        }
    });
}

/// How often each connection was logged in on.
fn logins(broker: &Broker) -> Vec<usize> {
    let handshakes =
        |requests: &Vec<SeenRequest>| requests.iter().filter(|request| request.api_key == ApiKey::SASL_HANDSHAKE).count();
    by_connection(broker).iter().map(handshakes).collect()
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_second_are_renewed_under_traffic_and_nothing_is_lost_doubled_or_reordered() {
    let broker = secured().session_lifetime(SECOND).start_in_memory().unwrap();
    slow_down(&broker);
    let client = client(&broker, credentials(SaslMechanism::ScramSha256, PASSWORD)).connect().await.unwrap();
    let producer = client.producer().batch_size(1000).linger(Duration::ZERO).build().unwrap();
    let end = Instant::now() + 30 * SECOND;

    // Small answers in a row, five in flight: what franz-go, sarama and Java once gave to the wrong request.
    let asked = Arc::new(AtomicUsize::new(0));
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (admin, asked) = (client.admin(), asked.clone());
        askers.spawn(async move {
            while Instant::now() < end {
                let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
                let listed = admin.list_offsets(partitions, OffsetSpec::Beginning).await.unwrap();
                assert!(
                    listed.iter().all(|(_, offset)| offset.as_ref().is_ok_and(|listed| listed.offset == Some(0))),
                    "{listed:?}"
                );
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    let stop = consumer.handle();
    let consuming = tokio::spawn(async move {
        let mut seen = BTreeMap::<i32, Vec<usize>>::new();
        while let Some(message) = consumer.next().await.unwrap() {
            let value = std::str::from_utf8(&message.value.unwrap()).unwrap().trim().parse().unwrap();
            seen.entry(message.partition).or_default().push(value);
        }
        seen
    });

    let mut sent = BTreeMap::<i32, Vec<usize>>::new();
    let mut deliveries = Vec::new();
    let mut value = 0;
    while Instant::now() < end {
        for partition in 0..2 {
            // Large enough for a batch of its own, so that several are in flight.
            let record = Record::new("t").partition(partition).value(format!("{value:900}"));
            let sent = sent.entry(partition).or_default();
            deliveries.push((partition, sent.len(), producer.enqueue(record).await.unwrap()));
            sent.push(value);
            value += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (partition, index, delivery) in deliveries {
        let offset = delivery.await.unwrap().offset;
        assert_eq!(offset, Some(index as i64), "partition {partition}");
    }
    while let Some(asker) = askers.join_next().await {
        asker.unwrap();
    }
    tokio::time::sleep(SECOND).await;
    stop.stop();
    let seen = consuming.await.unwrap();
    for (partition, values) in &sent {
        let logged: Vec<usize> =
            broker.values("t", *partition).unwrap().iter().map(|value| value.trim().parse().unwrap()).collect();
        assert_eq!(&logged, values, "in the log");
        assert_eq!(seen.get(partition), Some(values), "consumed");
    }
    assert!(value > 5000 && asked.load(Ordering::Relaxed) > 1000, "{value} records, {asked:?} answers");
    // One connection each for the admin, the producer, fetches and the group; none was ever closed for its session.
    let logins = logins(&broker);
    assert!(logins.len() <= 6, "connections were closed: {logins:?}");
    assert!(logins.iter().filter(|logins| **logins > 20).count() >= 4, "{logins:?}");
    assert_logged_in_everywhere(&broker);
    producer.close(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn several_requests_are_in_flight_between_renewals() {
    let broker = secured().session_lifetime(2 * SECOND).start_in_memory().unwrap();
    // Five of these are in flight: less than what is left of a session when it is renewed, for each is read when the one before it is
    // answered.
    broker.intercept_all(ApiKey::LIST_GROUPS, |_| Intercept::DelayResponse(Duration::from_millis(15)));
    let client = plain(&broker).connect().await.unwrap();
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let admin = client.admin();
        askers.spawn(async move {
            for _ in 0..200 {
                admin.list_groups().await.unwrap();
            }
        });
    }
    while let Some(asker) = askers.join_next().await {
        asker.unwrap();
    }
    // No request was seen between a handshake and its end, and none was in flight when one began.
    for requests in by_connection(&broker) {
        let apis: Vec<_> = requests.iter().map(|request| request.api_key).collect();
        assert!(requests.windows(5).any(|five| five.iter().all(|request| request.at == five[0].at)), "never five in flight");
        for (at, api) in apis.iter().enumerate().filter(|(_, api)| **api == ApiKey::SASL_HANDSHAKE) {
            assert_eq!(apis.get(at + 1), Some(&ApiKey::SASL_AUTHENTICATE), "after {api} at {at}: {apis:?}");
        }
    }
    assert!(logins(&broker).iter().any(|logins| *logins > 10), "{:?}", logins(&broker));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_waits_in_a_rebalance_longer_than_its_session_goes_on() {
    let broker = secured().session_lifetime(2 * SECOND).start_in_memory().unwrap();
    broker.intercept_next(ApiKey::JOIN_GROUP, 2, |_| Intercept::Delay(10 * SECOND));
    let client = plain(&broker).connect().await.unwrap();
    client.deliver(Record::new("t").partition(0).value("x")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "x");
    // And then for a long time, in which nothing comes but heartbeats.
    assert!(timeout(60 * SECOND, consumer.next()).await.is_err());
    client.deliver(Record::new("t").partition(1).value("y")).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().unwrap().value.unwrap(), "y");
    assert_eq!(broker.requests_of(ApiKey::JOIN_GROUP).len(), 2, "it joined again");
    consumer.close(SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_renewed_is_told_to_who_waits_and_to_every_later_call_until_it_can() {
    let broker = secured().session_lifetime(10 * SECOND).start_in_memory().unwrap();
    let client = plain(&broker).connect().await.unwrap();
    let producer = client.producer().linger(Duration::ZERO).build().unwrap();
    producer.send(Record::new("t").value("before")).await.unwrap();
    let mut consumer = client.consumer("g").topics(["t"]).build().unwrap();
    consumer.next().await.unwrap();
    set_password(&broker, "other");
    // The consumer waits in a call when its sessions end.
    let start = Instant::now();
    let error = timeout(60 * SECOND, consumer.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
    assert!((8 * SECOND..11 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(error.to_string().contains("Invalid username or password"), "{error}");
    tokio::time::sleep(10 * SECOND).await;
    let error = at_once("sending", producer.send(Record::new("t").value("lost"))).await;
    assert_eq!((error.kind(), error.is_possibly_written()), (ErrorKind::Authentication, false), "{error:?}");
    assert_eq!(at_once("asking", client.topics()).await.kind(), ErrorKind::Authentication);

    set_password(&broker, PASSWORD);
    tokio::time::sleep(2 * SECOND).await;
    producer.send(Record::new("t").value("after")).await.unwrap();
    assert_eq!(client.topics().await.unwrap(), ["t"]);
    // What the consumer was refused meanwhile is told once, then it goes on.
    let mut message = consumer.next().await;
    if message.is_err() {
        message = consumer.next().await;
    }
    assert_eq!(message.unwrap().unwrap().value.unwrap(), "after");
}

#[tokio::test(start_paused = true)]
async fn a_session_too_short_to_be_of_use_is_an_error() {
    let broker = secured().session_lifetime(SECOND / 2).start_in_memory().unwrap();
    let error = at_once("connecting", plain(&broker).connect()).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.to_string().contains("500 ms, too short"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed_although_its_session_is_renewed() {
    let broker = secured().session_lifetime(60 * SECOND).start_in_memory().unwrap();
    let builder = plain(&broker).connections_max_idle(300 * SECOND).metadata_max_age(3600 * SECOND);
    let client = builder.connect().await.unwrap();
    client.topics().await.unwrap();
    tokio::time::sleep(299 * SECOND).await;
    assert_eq!(broker.connections(1), 1);
    assert!(broker.requests_of(ApiKey::SASL_HANDSHAKE).len() > 5);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(broker.connections(1), 0);
}
