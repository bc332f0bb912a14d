use serde_json::json;

use super::*;
use crate::protocol::messages::metadata::MetadataRequest;
use crate::protocol::{ApiMessage as _, Writer};

fn declared(name: &str) -> &'static Declaration {
    Declaration::named(name).expect("it is declared")
}

/// The text of the error that reading `json` gives.
fn refused(name: &str, version: i16, json: Json) -> String {
    match from_json(declared(name), version, &json) {
        Ok(bytes) => panic!("{name} version {version} takes it: {bytes:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_name_message_version_and_field_and_what_was_expected_and_found() {
    let topics = |partition: Json| {
        json!({
            "replicaId": -1, "maxWaitMs": 5, "minBytes": 1, "maxBytes": 9, "isolationLevel": 0, "topics": [
                { "topic": "a", "partitions": [] },
                { "topic": "b", "partitions": [partition] },
            ],
        })
    };
    let at = "FetchRequest version 4, topics[1].partitions[0]";
    for (partition, text) in [
        (json!(null), ": expected an object, found null"),
        (json!({ "fetchOffset": 1, "partitionMaxBytes": 1 }), ".partition: it is missing, and this version has it"),
        (json!({ "partition": "canary" }), ".partition: expected a whole number from -2147483648 to 2147483647, found text"),
        (
            json!({ "partition": 3_000_000_000_i64 }),
            ".partition: expected a whole number from -2147483648 to 2147483647, found the number 3000000000",
        ),
        (json!({ "partition": 1.0 }), ".partition: expected a whole number from -2147483648 to 2147483647, found the number 1.0"),
        (
            json!({ "partition": 0, "lastFetchedEpoch": 3, "fetchOffset": 1, "partitionMaxBytes": 1 }),
            ".lastFetchedEpoch: version 4 has no such field (12 and later have it); leave it out",
        ),
    ] {
        assert_eq!(refused("FetchRequest", 4, topics(partition)), format!("{at}{text}"));
    }
    assert_eq!(
        refused("MetadataRequest", 99, json!({})),
        "MetadataRequest version 99: version 99 of the message is not known; there are 0 to 13"
    );
    assert_eq!(
        refused("MetadataRequest", 0, json!({ "topics": null })),
        "MetadataRequest version 0, topics: null, which version 0 does not allow here"
    );
    assert_eq!(
        refused("DeleteTopicsRequest", 4, json!({ "topicNames": ["a".repeat(32_768)], "timeoutMs": 1 })),
        "DeleteTopicsRequest version 4, topicNames[0]: text of 32768 bytes is too long: Kafka's strings have at most 32767"
    );
    let partition = json!({ "partitionIndex": 0, "errorCode": 0, "highWatermark": 0, "lastStableOffset": 0,
        "abortedTransactions": [], "recordsSizeInBytes": 7 });
    let response = json!({ "throttleTimeMs": 0, "responses": [{ "topic": "t", "partitions": [partition] }] });
    let text = refused("FetchResponse", 4, response);
    assert!(text.contains("responses[0].partitions[0].records: it is missing: recordsSizeInBytes says how long"), "{text}");
}

#[test]
fn what_text_says_is_not_repeated() {
    for (name, json) in [
        ("SaslAuthenticateRequest", json!({ "authBytes": "canary!" })),
        ("SaslAuthenticateRequest", json!({ "authBytes": ["canary"] })),
        ("SaslHandshakeRequest", json!({ "mechanism": { "canary": "canary" } })),
    ] {
        let text = refused(name, 0, json);
        assert!(!text.contains("canary") && text.contains("expected"), "{text}");
    }
}

#[test]
fn bytes_that_are_no_message_are_refused_in_the_decoders_words() {
    let error = to_json(declared("DeleteTopicsRequest"), 4, &Bytes::from_static(&[1, 0, 0]), RecordsForm::Size).unwrap_err();
    let words =
        "DeleteTopicsRequest version 4, TimeoutMs (byte 1 of 3): the frame ends inside a value; expected int32, 2 bytes are left";
    assert_eq!(error.to_string(), words);
    let error = to_json(declared("DeleteTopicsRequest"), 99, &Bytes::new(), RecordsForm::Size).unwrap_err();
    assert_eq!(error.to_string(), "DeleteTopicsRequest: version 99 of the message is not known");
}

#[test]
fn records_are_a_size_or_base64() {
    let json = json!({ "transactionalId": null, "acks": -1, "timeoutMs": 5, "topicData": [
        { "name": "t", "partitionData": [{ "index": 0, "records": "AAEC" }, { "index": 1, "records": null }] }
    ] });
    let produce = declared("ProduceRequest");
    let bytes = Bytes::from(from_json(produce, 9, &json).unwrap());
    assert_eq!(to_json(produce, 9, &bytes, RecordsForm::Base64), Ok(json));
    let partitions = &to_json(produce, 9, &bytes, RecordsForm::Size).unwrap()["topicData"][0]["partitionData"];
    assert_eq!(*partitions, json!([{ "index": 0, "recordsSizeInBytes": 3 }, { "index": 1, "records": null }]));
}

#[test]
fn defaults_and_tags_are_as_kafka_has_them() {
    let versions = declared("ApiVersionsResponse");
    // Written although it is at its default, by somebody else: it is not there.
    let bytes = Bytes::from_static(&[0, 0, 1, 0, 0, 0, 0, 1, 1, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let json = json!({ "errorCode": 0, "apiKeys": [], "throttleTimeMs": 0 });
    assert_eq!(to_json(versions, 3, &bytes, RecordsForm::Size), Ok(json));
    // Given in any order, written in that of their numbers.
    let json = json!({ "zkMigrationReady": true, "finalizedFeaturesEpoch": 5, "throttleTimeMs": 0, "errorCode": 0, "apiKeys": [],
        "noSuchField": [1, 2] });
    let bytes = Bytes::from(from_json(versions, 3, &json).unwrap());
    assert_eq!(bytes[7..], [2, 1, 8, 0, 0, 0, 0, 0, 0, 0, 5, 3, 1, 1]);
    // A version without tags has no place for them, and may drop them.
    assert_eq!(from_json(versions, 1, &json).unwrap(), [0; 10]);
}

#[test]
fn numbers_that_json_has_no_form_for_are_text() {
    for (value, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        assert_eq!(float(&json!(text)).map(f64::to_bits), Some(value.to_bits()), "{text}");
    }
    assert_eq!((float(&json!("1")), float(&json!(2))), (None, Some(2.0)));
}

#[test]
fn ids_are_read_with_padding_and_without() {
    for text in ["MDEyMzQ1Njc4OWFiY2RlZg", "MDEyMzQ1Njc4OWFiY2RlZg=="] {
        assert_eq!(uuid(text), Some(*b"0123456789abcdef"));
    }
    for text in ["", "MDEy", "MDEyMzQ1Njc4OWFiY2RlZmc", "MDEyMzQ1Njc4OWFiY2RlZ!"] {
        assert_eq!(uuid(text), None, "{text}");
    }
}

#[test]
fn a_message_made_from_json_is_the_message() {
    let json = json!({ "topics": null, "allowAutoTopicCreation": false, "includeTopicAuthorizedOperations": true });
    let bytes = from_json(declared("MetadataRequest"), 12, &json).unwrap();
    let expected = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    };
    let mut w = Writer::default();
    expected.encode(12, &mut w);
    assert_eq!(bytes, w.finish().concat());
}
