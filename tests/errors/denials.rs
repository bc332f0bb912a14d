//! What an ACL does not allow: the error says which operation on which resource, for whom, at once, and that trying again is of no use.
//! Brokers say no more than the type of the resource.

use klamm::admin::{ConfigChange, ConfigResource, NewTopic, Validate};
use klamm::config::Sasl;
use klamm::protocol::messages::metadata::MetadataRequest;
use klamm::protocol::{ApiKey, ErrorCode};
use klamm::{ErrorKind, Record, TopicPartition};
use klamm_broker::{Intercept, SaslMechanism};
use tokio::time::Instant;

use super::*;

const TOPIC: ErrorCode = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
const GROUP: ErrorCode = ErrorCode::GROUP_AUTHORIZATION_FAILED;
const CLUSTER: ErrorCode = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;

/// A broker that knows alice, and denies this.
fn denying(api: ApiKey, code: ErrorCode) -> (Broker, Client) {
    let broker = Broker::builder().topic("orders", 2).sasl_user(SaslMechanism::Plain, "alice", "alice-secret");
    let broker = broker.start_in_memory().unwrap();
    broker.append_records("orders", 0, [(None, Some(&b"new"[..]))]).unwrap();
    broker.intercept_all(api, move |_| match api {
        // Of a topic, not of the whole answer.
        ApiKey::METADATA => Intercept::edit::<MetadataRequest>(move |answer| {
            answer.topics.iter_mut().for_each(|topic| {
                topic.error_code = code;
                topic.partitions.clear();
            });
        }),
        _ => Intercept::Error(code),
    });
    let client = client(&broker).sasl(Sasl::plain("alice", "alice-secret")).allow_cleartext_sasl(true).build().unwrap();
    (broker, client)
}

async fn assert_denied<T>(what: &str, needed: &str, call: impl Future<Output = Result<T, Error>>) {
    let begin = Instant::now();
    let error = failure(call).await;
    assert!(begin.elapsed() < SECOND, "{what}: {:?}: {error}", begin.elapsed());
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Authorization, false), "{what}: {error:?}");
    assert_eq!(error.principal(), Some("User:alice"), "{what}");
    let advice = format!("an ACL must allow {needed} to User:alice");
    assert!(error.to_string().contains(&advice) && error.advice() == advice, "{what}: {advice:?} is not in {error}");
    assert!(error.code().is_some() && error.api().is_some(), "{what}: {error:?}");
}

macro_rules! denied {
    ($($api:ident $code:ident $needed:literal |$client:ident| $call:expr;)*) => {$({
        let (_broker, $client) = denying(ApiKey::$api, $code);
        assert_denied(stringify!($api $code $call), $needed, async { $call }).await;
    })*};
}

#[tokio::test(start_paused = true)]
async fn producing_says_which_acl_is_missing() {
    let record = || Record::new("orders").partition(0).value("v");
    denied! {
        PRODUCE TOPIC "WRITE on topic \"orders\"" |client| client.deliver(record()).await;
        PRODUCE CLUSTER "IDEMPOTENT_WRITE on the cluster" |client| client.deliver(record()).await;
        INIT_PRODUCER_ID CLUSTER "IDEMPOTENT_WRITE on the cluster" |client| client.deliver(record()).await;
        METADATA TOPIC "DESCRIBE on topic \"orders\"" |client| client.deliver(record()).await;
        PRODUCE TOPIC "WRITE on topic \"orders\"" |client| {
            let mut buffer = client.buffered_producer().build()?;
            buffer.produce(record()).map_err(|rejected| rejected.error().clone())?;
            Err::<(), _>(buffer.deliver().await.unwrap_err().failed.remove(0).error)
        };
    }
}

#[tokio::test(start_paused = true)]
async fn consuming_says_which_acl_is_missing() {
    let member = |client: &Client| client.consumer("billing").topics(["orders"]).build();
    denied! {
        FETCH TOPIC "READ on topic \"orders\"" |client| member(&client)?.next().await;
        FETCH TOPIC "READ on topic \"orders\"" |client| client.reader("orders").build()?.next().await;
        FETCH TOPIC "READ on topic \"orders\"" |client| client.fetch_messages("orders", 0).from(0).send().await;
        LIST_OFFSETS TOPIC "DESCRIBE on topic \"orders\"" |client| client.last_offset("orders", 0).await;
        METADATA TOPIC "DESCRIBE on topic \"orders\"" |client| client.reader("orders").build()?.next().await;
        FIND_COORDINATOR GROUP "DESCRIBE (a consumer needs READ) on group \"billing\"" |client| member(&client)?.next().await;
        JOIN_GROUP GROUP "READ on group \"billing\"" |client| member(&client)?.next().await;
        SYNC_GROUP GROUP "READ on group \"billing\"" |client| member(&client)?.next().await;
        OFFSET_FETCH GROUP "DESCRIBE on group \"billing\"" |client| member(&client)?.next().await;
        OFFSET_COMMIT GROUP "READ on group \"billing\"" |client| {
            let mut consumer = member(&client)?;
            let message = consumer.next().await?.unwrap();
            consumer.mark_as_processed(&message);
            consumer.commit().await
        };
        OFFSET_COMMIT TOPIC "READ on topic \"orders\"" |client| {
            let mut consumer = member(&client)?;
            let message = consumer.next().await?.unwrap();
            consumer.mark_as_processed(&message);
            consumer.commit().await
        };
    }
}

#[tokio::test(start_paused = true)]
async fn administration_says_which_acl_is_missing() {
    let topic = ConfigResource::Topic("orders".into());
    let partition = TopicPartition::new("orders", 0);
    denied! {
        CREATE_TOPICS TOPIC "CREATE on topic \"new\"" |client| client.admin().create_topic(NewTopic::new("new")).await;
        CREATE_TOPICS CLUSTER "CREATE on the cluster" |client| client.admin().create_topic(NewTopic::new("new")).await;
        DELETE_TOPICS TOPIC "DELETE on topic \"orders\"" |client| client.admin().delete_topics(["orders"]).await?.remove(0).1;
        CREATE_PARTITIONS TOPIC "ALTER on topic \"orders\"" |client| {
            client.admin().create_partitions("orders", 9, Validate::AndApply).await
        };
        METADATA TOPIC "DESCRIBE on topic \"orders\"" |client| client.partition_count("orders").await;
        DESCRIBE_CONFIGS TOPIC "DESCRIBE_CONFIGS on topic \"orders\"" |client| client.admin().describe_configs(&topic, None).await;
        INCREMENTAL_ALTER_CONFIGS TOPIC "ALTER_CONFIGS on topic \"orders\"" |client| {
            client.admin().alter_configs(&topic, [ConfigChange::delete("retention.ms")], Validate::AndApply).await
        };
        DESCRIBE_GROUPS GROUP "DESCRIBE on group \"billing\"" |client| client.admin().describe_groups(["billing"]).await?.remove(0).1;
        DELETE_GROUPS GROUP "DELETE on group \"billing\"" |client| client.admin().delete_groups(["billing"]).await?.remove(0).1;
        OFFSET_FETCH GROUP "DESCRIBE on group \"billing\"" |client| client.admin().group_offsets("billing").await;
        OFFSET_DELETE GROUP "DELETE on group \"billing\"" |client| {
            client.admin().delete_group_offsets("billing", [partition.clone()]).await
        };
        LIST_GROUPS CLUSTER "DESCRIBE on the cluster" |client| client.admin().list_groups().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_principal_that_is_not_known_is_not_guessed() {
    let (broker, client) = start(Broker::builder());
    broker.intercept_all(ApiKey::PRODUCE, |_| Intercept::Error(TOPIC));
    let error = failure(client.deliver(Record::new("orders").value("v"))).await;
    assert_eq!(error.principal(), None);
    says(&error, &["an ACL must allow WRITE on topic \"orders\" to this client's principal"]);
}
