//! Words of brokers and of other members enter texts shortened and without what would change how a line is displayed.

use klamm::Record;
use klamm::admin::{ConfigResource, NewTopic, Validate};
use klamm::protocol::messages::create_partitions::CreatePartitionsRequest;
use klamm::protocol::messages::create_topics::CreateTopicsRequest;
use klamm::protocol::messages::delete_topics::DeleteTopicsRequest;
use klamm::protocol::messages::describe_configs::DescribeConfigsRequest;
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::incremental_alter_configs::IncrementalAlterConfigsRequest;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::messages::produce::{BatchIndexAndErrorMessage, ProduceRequest};
use klamm::protocol::{ApiKey, ErrorCode, GroupId, Str};
use klamm_broker::Intercept;

use super::*;

/// A line of its own, a change of colour, a change of direction, and far too much of it.
fn words() -> Option<Str> {
    Some(Str::truncated(&format!("because\r\nERROR all is lost \u{1b}[2J\u{202e}{}", "x".repeat(20_000))))
}

fn assert_clean(what: &str, error: &Error, shown: bool) {
    // With all that led to it in the second.
    for (text, longest) in [(error.to_string(), 5_000), (format!("{error:?}"), 20_000)] {
        assert!(!text.contains(char::is_control) && !text.contains('\u{202e}'), "{what}: {text:?}");
        assert!(text.len() < longest, "{what}: {} bytes", text.len());
    }
    let text = error.to_string();
    let is_there = text.contains("because\\r\\nERROR all is lost \\u{1b}[2J\\u{202e}xxxx") && text.contains('…');
    assert_eq!(is_there, shown, "{what}: {text}");
}

#[tokio::test(start_paused = true)]
async fn a_brokers_words_are_shortened_and_escaped_in_every_error() {
    let (broker, client) = start(Broker::builder());
    let admin = client.admin();
    let topic = ConfigResource::Topic("orders".into());
    broker.intercept_all(ApiKey::CREATE_TOPICS, |_| {
        Intercept::edit::<CreateTopicsRequest>(|answer| {
            answer.topics[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.topics[0].error_message = words();
        })
    });
    assert_clean("CreateTopics", &failure(admin.create_topic(NewTopic::new("new"))).await, true);
    broker.intercept_all(ApiKey::DELETE_TOPICS, |_| {
        Intercept::edit::<DeleteTopicsRequest>(|answer| {
            answer.responses[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.responses[0].error_message = words();
        })
    });
    assert_clean("DeleteTopics", &failure(async { admin.delete_topics(["new"]).await?.remove(0).1 }).await, true);
    broker.intercept_all(ApiKey::CREATE_PARTITIONS, |_| {
        Intercept::edit::<CreatePartitionsRequest>(|answer| {
            answer.results[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.results[0].error_message = words();
        })
    });
    assert_clean("CreatePartitions", &failure(admin.create_partitions("orders", 9, Validate::Only)).await, true);
    broker.intercept_all(ApiKey::DESCRIBE_CONFIGS, |_| {
        Intercept::edit::<DescribeConfigsRequest>(|answer| {
            answer.results[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.results[0].error_message = words();
        })
    });
    assert_clean("DescribeConfigs", &failure(admin.describe_configs(&topic, None)).await, true);
    broker.intercept_all(ApiKey::INCREMENTAL_ALTER_CONFIGS, |_| {
        Intercept::edit::<IncrementalAlterConfigsRequest>(|answer| {
            answer.responses[0].error_code = ErrorCode::POLICY_VIOLATION;
            answer.responses[0].error_message = words();
        })
    });
    assert_clean("AlterConfigs", &failure(admin.alter_topic("orders", [("retention.ms", "1")])).await, true);
    broker.intercept_all(ApiKey::PRODUCE, |_| {
        Intercept::edit::<ProduceRequest>(|answer| {
            let found = &mut answer.responses[0].partition_responses[0];
            (found.error_code, found.error_message) = (ErrorCode::INVALID_RECORD, words());
        })
    });
    assert_clean("Produce", &failure(client.deliver(Record::new("orders").value("v"))).await, true);
    broker.clear_intercepts();
    broker.intercept_all(ApiKey::PRODUCE, |_| {
        Intercept::edit::<ProduceRequest>(|answer| {
            let found = &mut answer.responses[0].partition_responses[0];
            found.error_code = ErrorCode::INVALID_RECORD;
            let named = BatchIndexAndErrorMessage { batch_index: 0, batch_index_error_message: words() };
            found.record_errors = vec![named];
        })
    });
    assert_clean("Produce, of a record", &failure(client.deliver(Record::new("orders").value("v"))).await, true);
    broker.intercept_all(ApiKey::FIND_COORDINATOR, |_| {
        Intercept::edit::<FindCoordinatorRequest>(|answer| {
            answer.coordinators[0].error_code = ErrorCode::INVALID_REQUEST;
            answer.coordinators[0].error_message = words();
        })
    });
    assert_clean("FindCoordinator", &failure(admin.group_offsets("billing")).await, true);
}

#[tokio::test(start_paused = true)]
async fn another_members_words_are_shortened_and_escaped() {
    let (broker, client) = start(Broker::builder());
    let mut join = JoinGroupRequest {
        group_id: GroupId(Str::truncated("billing")),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: words().unwrap(),
        protocols: vec![JoinGroupRequestProtocol { name: words().unwrap(), ..Default::default() }],
        ..Default::default()
    };
    join.member_id = broker.raw_request(1, 9, &join).await.unwrap().member_id;
    assert_eq!(broker.raw_request(1, 9, &join).await.unwrap().error_code, ErrorCode::NONE);
    let mut consumer = client.consumer("billing").topics(["orders"]).build().unwrap();
    assert_clean("the type of a group", &failure(async { consumer.next().await }).await, true);

    let (broker, client) = start(Broker::builder());
    join.protocol_type = Str::truncated("consumer");
    join.member_id = Str::default();
    join.member_id = broker.raw_request(1, 9, &join).await.unwrap().member_id;
    assert_eq!(broker.raw_request(1, 9, &join).await.unwrap().error_code, ErrorCode::NONE);
    let mut consumer = client.consumer("billing").topics(["orders"]).build().unwrap();
    assert_clean("the assignor of a group", &failure(async { consumer.next().await }).await, false);
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_brokers_host_is_shortened_and_escaped() {
    let (broker, client) = start(Broker::builder());
    broker.intercept_all(ApiKey::METADATA, |_| {
        Intercept::edit::<MetadataRequest>(|answer| answer.brokers[0].host = words().unwrap())
    });
    let admin = client.admin().with_timeout(5 * SECOND);
    let error = failure(admin.group_offsets("billing")).await;
    assert_clean("a host", &error, true);
}
