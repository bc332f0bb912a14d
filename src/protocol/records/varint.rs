//! Variable-length integers of records: seven bits a byte, low ones first, signed by zigzag.
//!
//! Most are one byte long and take the first branch. Up to eight bytes are packed and unpacked by masks and shifts on one 64-bit
//! word, without a loop. Over-long forms (more than 5 bytes for 32 bits, 10 for 64, or bits beyond) are refused.

/// Bits that say "another byte follows".
const CONTINUE: u64 = 0x8080_8080_8080_8080;

/// Signed to unsigned, small magnitudes to small numbers.
#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
#[inline]
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes that the unsigned `value` takes.
#[inline]
pub(crate) fn size(value: u64) -> usize {
    // Seven bits a byte: (bits + 6) / 7, with the division as a multiplication that is exact up to 64 bits.
    let bits = 64 - (value | 1).leading_zeros() as usize;
    (bits * 9 + 64) >> 6
}

/// Bytes that a length or count takes.
#[inline]
pub(crate) fn len_size(len: usize) -> usize {
    size((len as u64) << 1)
}

/// Spreads 56 bits over eight bytes of seven, without the continuation bits.
#[inline]
fn spread(value: u64) -> u64 {
    let x = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x0fff_c000_0fff_c000) << 2);
    (x & 0x007f_007f_007f_007f) | ((x & 0x3f80_3f80_3f80_3f80) << 1)
}

/// The reverse of [`spread`].
#[inline]
fn gather(word: u64) -> u64 {
    let x = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
    (x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4)
}

/// A small stack buffer for a record's fixed fields; it goes out in one write of constant size.
pub(crate) struct Prefix {
    pub(crate) bytes: [u8; Prefix::SIZE],
    pub(crate) len: usize,
}

impl Prefix {
    /// Length (5), attributes (1), timestamp delta (10), offset delta (5), key length (5), value length (5), and room for whole words.
    pub(crate) const SIZE: usize = 40;

    #[inline]
    pub(crate) fn new() -> Self {
        Self { bytes: [0; Self::SIZE], len: 0 }
    }

    /// One byte.
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }

    /// An unsigned varint.
    #[inline]
    pub(crate) fn varint(&mut self, value: u64) {
        if value < 0x80 {
            return self.byte(value as u8);
        }
        if value >> 56 != 0 {
            return self.long(value);
        }
        let size = size(value);
        let word = spread(value) | (CONTINUE & ((1 << (8 * (size - 1))) - 1));
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut()) {
            *place = word.to_le_bytes();
        }
        self.len += size;
    }

    /// Nine or ten bytes: timestamps millions of years apart.
    #[cold]
    fn long(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.byte(value as u8);
    }
}

/// Reads an unsigned varint of at most `max` bytes at `*at`; `None` if it is cut or over-long.
#[inline]
pub(crate) fn read<const MAX: usize>(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    if let Some(word) = bytes.get(*at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*word);
        let stops = !word & CONTINUE;
        if stops != 0 {
            let size = (stops.trailing_zeros() as usize >> 3) + 1;
            let value = gather(word & (u64::MAX >> (64 - 8 * size)));
            if MAX == 5 && (size > 5 || value > u64::from(u32::MAX)) {
                return None;
            }
            *at += size;
            return Some(value);
        }
    }
    slow::<MAX>(bytes, at)
}

#[cold]
fn slow<const MAX: usize>(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u128;
    for (index, byte) in bytes.get(*at..)?.iter().take(MAX).enumerate() {
        value |= u128::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            *at += index + 1;
            let limit = if MAX == 5 { u128::from(u32::MAX) } else { u128::from(u64::MAX) };
            return (value <= limit).then_some(value as u64);
        }
    }
    None
}

/// Reads a signed varint of at most 5 bytes.
#[inline]
pub(crate) fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    // A zigzag of 32 bits comes back as a value of 32 bits.
    read::<5>(bytes, at).map(|value| unzigzag(value) as i32)
}

/// Reads a signed varint of at most 10 bytes.
#[inline]
pub(crate) fn read_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    read::<10>(bytes, at).map(unzigzag)
}
