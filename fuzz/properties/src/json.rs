//! Messages as JSON: what can be read as one thing says the same as the other, and is stable from then on.

use bytes::Bytes;
use klamm::protocol::json::{RecordsForm, from_json, to_json};
use klamm::protocol::{Declaration, RecodeError};

use crate::declared::{self, Message};
use crate::input::Input;

/// Number of the name, version, what follows: bytes of the message, choices that make a valid one, or JSON.
pub(crate) fn json(input: &[u8]) {
    let mut input = Input(input);
    let Some(declaration) = declared::by_number(input.short(), |_| true) else { return };
    let version = declared::version(declaration, input.byte());
    match input.below(3) {
        0 => bytes(declaration, version, &Bytes::copy_from_slice(input.0)),
        1 => {
            let body = Message::new(&mut input, declaration, version).body(declaration);
            bytes(declaration, version, &body.into());
        }
        _ => {
            let Ok(json) = serde_json::from_slice::<serde_json::Value>(input.0) else { return };
            match from_json(declaration, version, &json) {
                Ok(body) => bytes(declaration, version, &body.into()),
                // A field's name may be that long, and there may be one in another.
                Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
            }
        }
    }
}

/// What can be decoded can be written as JSON, which means the same bytes.
fn bytes(declaration: &Declaration, version: i16, body: &Bytes) {
    let name = declaration.name;
    let json = to_json(declaration, version, body, RecordsForm::Base64);
    assert_eq!(json.is_ok(), (declaration.decode)(body, version).is_ok(), "{name} version {version}: {json:?}");
    let Ok(json) = json else { return };
    let written = from_json(declaration, version, &json);
    let written: Bytes = written.unwrap_or_else(|error| panic!("{name} version {version}: {error}, in {json}")).into();
    let canonical = match (declaration.recode)(body, version) {
        Ok(recoded) => recoded.buffers.concat(),
        Err(RecodeError::Decode(error)) => panic!("{name} version {version} was read before: {error}"),
        Err(RecodeError::Encode(error)) => panic!("{name} version {version}: {error}"),
    };
    // JSON knows one NaN only.
    if json.to_string().contains("\"NaN\"") {
        assert_eq!(written.len(), canonical.len(), "{name} version {version}");
    } else {
        assert_eq!(written, canonical, "{name} version {version}");
    }
    assert_eq!(to_json(declaration, version, &written, RecordsForm::Base64), Ok(json), "{name} version {version}");
}
