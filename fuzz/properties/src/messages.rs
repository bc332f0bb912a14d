//! Messages, by what their declarations say: what can be read can be written, with the size foretold, and says the same when read
//! again; what cannot be read is an error that says where; neither takes more memory than the decoder's budget.

use bytes::Bytes;
use klamm::protocol::header::RequestHeader;
use klamm::protocol::{DECLARATIONS, Declaration, Kind, Reader, RecodeError};

use crate::declared::{self, Message};
use crate::input::Input;

/// A whole request frame, as a broker reads it.
pub(crate) fn requests(input: &[u8]) {
    let frame = Bytes::copy_from_slice(input);
    let Ok((header, body)) = RequestHeader::decode(&frame) else { return };
    let is_it = |declaration: &&Declaration| declaration.kind == Kind::Request && declaration.api_key == header.api_key.0;
    if let Some(declaration) = DECLARATIONS.iter().find(is_it) {
        read(declaration, header.api_version, &body);
    }
}

/// API, version, body.
pub(crate) fn responses(input: &[u8]) {
    let mut input = Input(input);
    let Some(declaration) = declared::of_api(input.byte(), Kind::Response) else { return };
    let version = declared::version(declaration, input.byte());
    read(declaration, version, &Bytes::copy_from_slice(input.0));
}

/// Number of the name, version, body.
pub(crate) fn data(input: &[u8]) {
    let mut input = Input(input);
    let Some(declaration) = declared::by_number(input.short(), |kind| !matches!(kind, Kind::Request | Kind::Response)) else {
        return;
    };
    let version = declared::version(declaration, input.byte());
    read(declaration, version, &Bytes::copy_from_slice(input.0));
}

/// What must hold whatever the bytes; gives what they became.
fn read(declaration: &Declaration, version: i16, body: &Bytes) -> Option<Vec<u8>> {
    let name = declaration.name;
    let mut recoded = None;
    let used = allocation_counter::measure(|| recoded = Some((declaration.recode)(body, version)));
    // The decoder's budget, and what is written: no more than was read, with little buffers around what is shared.
    let most = Reader::BUDGET_BASE + (Reader::BUDGET_FACTOR + 3) * body.len() + 4096;
    assert!(used.bytes_max <= most as u64, "{name} version {version}: {} bytes of memory, at most {most}", used.bytes_max);
    match recoded? {
        Ok(recoded) => {
            let again = recoded.buffers.concat();
            assert_eq!(again.len(), recoded.encoded_len, "{name} version {version}: the size foretold");
            assert!(again.len() <= body.len(), "{name} version {version}: {} bytes became {}", body.len(), again.len());
            assert_eq!((declaration.decode)(body, version), Ok(()), "{name} version {version}");
            let once_more = (declaration.recode)(&Bytes::from(again.clone()), version).map(|recoded| recoded.buffers.concat());
            assert_eq!(once_more.as_ref(), Ok(&again), "{name} version {version}: what was written says the same");
            Some(again)
        }
        Err(RecodeError::Decode(error)) => {
            assert!(error.left <= body.len(), "{name} version {version}: {error}");
            assert_eq!((declaration.decode)(body, version), Err(error), "{name} version {version}");
            let text = (declaration.explain)(body, version, error);
            assert!(text.starts_with(name) && text.len() < 500, "{text}");
            None
        }
        Err(RecodeError::Encode(error)) => panic!("{name} version {version} was read and cannot be written: {error}"),
    }
}

/// Number of the name, version, what to do, then the choices that make a message.
pub(crate) fn valid(input: &[u8]) {
    let mut input = Input(input);
    let Some(declaration) = declared::by_number(input.short(), |_| true) else { return };
    let version = declared::version(declaration, input.byte());
    let (unknown_tags, cut) = (input.flag(), input.short());
    let mut message = Message::new(&mut input, declaration, version);
    message.unknown_tags = unknown_tags;
    let body = Bytes::from(message.body(declaration));
    let name = declaration.name;
    let again = read(declaration, version, &body).unwrap_or_else(|| {
        let why = (declaration.decode)(&body, version).map_err(|error| (declaration.explain)(&body, version, error));
        panic!("{name} version {version} is valid, but {why:?}")
    });
    if !unknown_tags {
        assert_eq!(again, body, "{name} version {version}");
    }
    // No beginning of a message is a message, and nor is one with something behind it.
    if !body.is_empty() {
        let cut = body.slice(..usize::from(cut) % body.len());
        assert_eq!(read(declaration, version, &cut), None, "{name} version {version} cut");
    }
    let longer = Bytes::from([&body[..], &[0]].concat());
    assert_eq!(read(declaration, version, &longer), None, "{name} version {version} and more");
}
