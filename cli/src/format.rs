//! `consume --format`: a line for each record, as kcat writes it.

use klamm::Message;

/// A format string, taken apart once.
#[derive(Clone, Debug)]
pub(crate) struct Format(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    Headers,
    Timestamp,
    ValueLength,
    KeyLength,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'%' => match bytes.next() {
                    Some(b't') => Part::Topic,
                    Some(b'p') => Part::Partition,
                    Some(b'o') => Part::Offset,
                    Some(b'k') => Part::Key,
                    Some(b's') => Part::Value,
                    Some(b'h') => Part::Headers,
                    Some(b'T') => Part::Timestamp,
                    Some(b'S') => Part::ValueLength,
                    Some(b'K') => Part::KeyLength,
                    Some(b'%') => Part::Byte(b'%'),
                    other => {
                        let found = other.map_or("the end".to_owned(), |byte| format!("%{}", char::from(byte)));
                        return Err(format!("unknown {found}; known: %t %p %o %k %s %h %T %S %K %%"));
                    }
                },
                b'\\' => match bytes.next() {
                    Some(b'n') => Part::Byte(b'\n'),
                    Some(b't') => Part::Byte(b'\t'),
                    Some(b'r') => Part::Byte(b'\r'),
                    Some(b'0') => Part::Byte(0),
                    Some(b'\\') => Part::Byte(b'\\'),
                    other => return Err(format!("unknown \\{}; known: \\n \\t \\r \\0 \\\\", other.map_or(' ', char::from))),
                },
                byte => Part::Byte(byte),
            });
        }
        Ok(Self(parts))
    }
}

impl Format {
    /// Writes `message` to `out`.
    pub(crate) fn write(&self, message: &Message, out: &mut Vec<u8>) {
        let length = |bytes: Option<usize>| bytes.map_or_else(|| "-1".to_owned(), |length| length.to_string());
        for part in &self.0 {
            match part {
                Part::Byte(byte) => out.push(*byte),
                Part::Topic => out.extend_from_slice(message.topic.as_str().as_bytes()),
                Part::Partition => out.extend_from_slice(message.partition.to_string().as_bytes()),
                Part::Offset => out.extend_from_slice(message.offset.to_string().as_bytes()),
                Part::Key => out.extend_from_slice(message.key.as_deref().unwrap_or_default()),
                Part::Value => out.extend_from_slice(message.value.as_deref().unwrap_or_default()),
                Part::Timestamp => out.extend_from_slice(message.timestamp.to_string().as_bytes()),
                Part::ValueLength => out.extend_from_slice(length(message.value.as_ref().map(|value| value.len())).as_bytes()),
                Part::KeyLength => out.extend_from_slice(length(message.key.as_ref().map(|key| key.len())).as_bytes()),
                Part::Headers => {
                    for (index, header) in message.headers.iter().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(&header.key);
                        out.push(b'=');
                        out.extend_from_slice(header.value.as_deref().unwrap_or(b"NULL"));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        let mut message = Message::new("t", 3, 42);
        message.timestamp = 7;
        message.key = Some("key".into());
        message.value = Some("value".into());
        message.headers = vec![klamm::Header::new("a", "1"), klamm::Header { key: "b".into(), value: None }];
        let mut out = Vec::new();
        "%t %p %o %k %s %h %T %S %K %%\\n".parse::<Format>().unwrap().write(&message, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "t 3 42 key value a=1,b=NULL 7 5 3 %\n");
        let mut out = Vec::new();
        "%S %K".parse::<Format>().unwrap().write(&Message::new("t", 0, 0), &mut out);
        assert_eq!(out, b"-1 -1");
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        assert!("%x".parse::<Format>().unwrap_err().contains("%x"));
        assert!("\\q".parse::<Format>().is_err());
        assert!("%".parse::<Format>().is_err());
    }
}
