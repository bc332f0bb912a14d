//! Records as JSON: how bytes are shown (`"text"` if UTF-8, else `{"base64": "…"}`) and how an input object becomes a record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use klamm::{Header, Message, Record};
use serde_json::{Map, Value, json};

/// Bytes for people and programs.
pub(crate) fn bytes_to_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => Value::Null,
        Some((Ok(text), _)) => text.into(),
        Some((Err(_), bytes)) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// The reverse.
fn bytes_from_json(name: &str, value: &Value) -> Result<Option<Bytes>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::from(text.clone()))),
        Value::Object(object) => match object.get("base64").and_then(Value::as_str).map(|text| STANDARD.decode(text)) {
            Some(Ok(bytes)) => Ok(Some(bytes.into())),
            Some(Err(error)) => Err(format!("{name}: not base64: {error}")),
            None => Err(format!("{name}: an object must be {{\"base64\": \"…\"}}")),
        },
        other => Err(format!("{name}: must be a string, null or {{\"base64\": \"…\"}}, not {other}")),
    }
}

/// A record's header for people and programs.
pub(crate) fn header_to_json(name: &[u8], value: Option<&[u8]>) -> Value {
    json!([String::from_utf8_lossy(name), bytes_to_json(value)])
}

/// A consumed message as the contract has it.
pub(crate) fn message_to_json(message: &Message) -> Value {
    let headers = message.headers.iter().map(|header| header_to_json(&header.key, header.value.as_deref()));
    json!({
        "topic": message.topic.as_str(),
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "key": bytes_to_json(message.key.as_deref()),
        "value": bytes_to_json(message.value.as_deref()),
        "headers": headers.collect::<Vec<_>>(),
        "leader_epoch": message.leader_epoch,
    })
}

/// An input object `{"key","value","partition","headers","timestamp"}`, all optional; headers are an object or a list of pairs.
pub(crate) fn record_from_json(topic: &klamm::Topic, line: &str) -> Result<Record, String> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut record = Record::new(topic);
    for (name, value) in &object {
        match name.as_str() {
            "key" => record.key = bytes_from_json(name, value)?,
            "value" => record.value = bytes_from_json(name, value)?,
            "partition" if value.is_null() => {}
            "partition" => {
                let partition = value.as_i64().and_then(|number| i32::try_from(number).ok());
                record.partition = Some(partition.ok_or_else(|| format!("partition: must be a number, not {value}"))?);
            }
            "timestamp" if value.is_null() => {}
            "timestamp" => {
                record.timestamp =
                    Some(value.as_i64().ok_or_else(|| format!("timestamp: must be milliseconds as a number, not {value}"))?);
            }
            "headers" => record.headers = headers_from_json(value)?,
            other => return Err(format!("unknown key {other:?}; known: key, value, partition, headers, timestamp")),
        }
    }
    Ok(record)
}

fn headers_from_json(value: &Value) -> Result<Vec<Header>, String> {
    let header = |name: &str, value: &Value| {
        Ok(Header { key: Bytes::from(name.to_owned()), value: bytes_from_json(&format!("headers.{name}"), value)? })
    };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(object) => object.iter().map(|(name, value)| header(name, value)).collect(),
        Value::Array(pairs) => {
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([Value::String(name), value]) => header(name, value),
                _ => Err(format!("headers: each must be [name, value], not {pair}")),
            };
            pairs.iter().map(pair).collect()
        }
        other => Err(format!("headers: must be an object or a list of [name, value], not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_objects_become_records() {
        let line = r#"{"key":"k","value":{"base64":"/w=="},"partition":2,"headers":[["a","1"],["a",null]],"timestamp":5}"#;
        let record = record_from_json(&"t".into(), line).unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.value.as_deref(), Some(&[0xff][..]));
        assert_eq!((record.partition, record.timestamp), (Some(2), Some(5)));
        assert_eq!(record.headers, [Header::new("a", "1"), Header { key: "a".into(), value: None }]);
        assert_eq!(record_from_json(&"t".into(), r#"{"value":null}"#).unwrap().value, None);
    }

    #[test]
    fn wrong_input_names_the_key_and_what_it_must_be() {
        for (line, part) in [
            ("5", "not a JSON object"),
            (r#"{"vaule":"x"}"#, "vaule"),
            (r#"{"partition":"x"}"#, "partition"),
            (r#"{"value":7}"#, "value: must be a string"),
            (r#"{"headers":[1]}"#, "headers"),
        ] {
            let error = record_from_json(&"t".into(), line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_base64() {
        assert_eq!(bytes_to_json(Some(b"ok")), json!("ok"));
        assert_eq!(bytes_to_json(Some(&[0xff])), json!({"base64": "/w=="}));
        assert_eq!(bytes_to_json(None), Value::Null);
    }
}
