//! Traces of requests that no client would send, made from the declarations: one for each API.

use klamm::protocol::{ApiKey, DECLARATIONS, Kind};
use serde_json::json;

use crate::trace::parse::{Asked, Step, Trace, What};
use crate::trace::play::Ranges;

/// For each API that both sides serve: a body that is too short, bytes behind it, and versions that there are not.
pub fn malformed(ranges: &Ranges) -> Vec<Trace> {
    let requests =
        DECLARATIONS.iter().filter(|declared| declared.kind == Kind::Request && ranges.contains_key(&declared.api_key));
    requests
        .filter_map(|request| {
            let api = request.name.strip_suffix("Request")?;
            // Of groups and topics that others have made nothing is said.
            let plain = Asked { own: true, ..Asked::new(api, json!({})).ok()? };
            let mut steps = Vec::new();
            let mut step = |name: &str, asked: Asked| {
                let (name, connection) = (name.to_owned(), name.to_owned());
                steps.push(Step { name, connection, what: What::Request(Box::new(asked)) });
            };
            step("a_byte_too_few", Asked { cut: 1, ..plain.clone() });
            step("no_body", Asked { cut: usize::MAX, ..plain.clone() });
            let last = ranges.get(&request.api_key)?.1;
            // Where the answer is the same in any version it is asked for once.
            let in_last = Asked { versions: (last, last), ..plain.clone() };
            step("version_from_the_future", Asked { header_version: Some(last + 1), ..in_last.clone() });
            step("version_below_zero", Asked { header_version: Some(-1), ..in_last });
            match ApiKey(request.api_key) {
                // There is no answer to a request without acknowledgement, which this would be.
                ApiKey::PRODUCE => {}
                // A page of all topics of a broker that others use, too.
                ApiKey::DESCRIBE_TOPIC_PARTITIONS => {}
                // Kafka never answers one of these that asks for nothing.
                ApiKey::ADD_PARTITIONS_TO_TXN => step("bytes_behind", Asked { extra: vec![0, 0, 0], versions: (0, 3), ..plain }),
                _ => step("bytes_behind", Asked { extra: vec![0, 0, 0], ..plain }),
            }
            Some(Trace { name: format!("malformed_{api}"), steps })
        })
        .collect()
}
