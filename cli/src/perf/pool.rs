//! Payloads and keys of the peer benchmark: the same for every client, so that what is read back can be checked.

use bytes::Bytes;

/// Number of different values.
pub(crate) const VALUES: usize = 1024;
/// Number of different keys.
pub(crate) const KEYS: usize = 10_000;

/// Value i is `%04d` of i, then a window of one shared stream of 16 letters.
pub(crate) fn values(size: usize) -> Vec<Bytes> {
    let body = size.max(4) - 4;
    let mut state: u32 = 12_345;
    let letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + ((state >> 24) & 15) as u8
    };
    let stream: Vec<u8> = std::iter::repeat_with(letter).take(VALUES * 7 + body).collect();
    (0..VALUES)
        .map(|index| {
            let mut value = format!("{index:04}").into_bytes();
            value.extend(stream.iter().skip(index * 7).take(body));
            value.into()
        })
        .collect()
}

/// Key i is `key-` and five digits.
pub(crate) fn keys() -> Vec<Bytes> {
    (0..KEYS).map(|index| format!("key-{index:05}").into()).collect()
}

/// The part of a consumed value that goes into the order-independent sum: its first four bytes, little-endian.
#[inline]
pub(crate) fn tag(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |head| u64::from(u32::from_le_bytes(*head)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_with_their_number_and_have_the_size_asked_for() {
        let values = values(100);
        assert_eq!(values.len(), VALUES);
        assert!(values.iter().all(|value| value.len() == 100));
        assert!(values[17].starts_with(b"0017"));
        // Each window starts seven letters behind the one before.
        assert_eq!(values[0][11..50], values[1][4..43]);
        assert_eq!(tag(b"0001rest"), u64::from(u32::from_le_bytes(*b"0001")));
    }
}
