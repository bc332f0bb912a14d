//! Variable-length integers of records: seven bits a byte, low ones first, signed by zigzag.
//!
//! Most are one or two bytes long and take the first branches. Up to eight bytes are packed and unpacked by masks and shifts on one
//! 64-bit word, without a loop. Over-long forms (more than 5 bytes for 32 bits, 10 for 64, or bits beyond) are refused.

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

/// Up to eight bytes of a record, put together in a register: bytes stored one by one and then loaded as one word would wait for
/// the store buffer.
#[derive(Clone, Copy, Default)]
pub(crate) struct Word {
    bits: u64,
    len: usize,
}

impl Word {
    /// What [`varint`](Self::varint) takes must be below this: four bytes.
    pub(crate) const LIMIT: u64 = 1 << 28;

    /// One byte.
    #[inline(always)]
    pub(crate) fn byte(self, byte: u8) -> Self {
        Self { bits: self.bits | u64::from(byte) << (8 * self.len), len: self.len + 1 }
    }

    /// An unsigned varint below [`LIMIT`](Self::LIMIT). The caller sees to it that eight bytes are enough for all.
    #[inline(always)]
    pub(crate) fn varint(self, value: u64) -> Self {
        debug_assert!(value < Self::LIMIT && self.len + size(value) <= 8, "a word has eight bytes");
        // Short ones by branches, which the processor predicts.
        let (bits, size) = if value < 0x80 {
            (value, 1)
        } else if value < 0x4000 {
            ((value & 0x7f) | 0x80 | (value >> 7) << 8, 2)
        } else {
            packed(value)
        };
        Self { bits: self.bits | bits << (8 * self.len), len: self.len + size }
    }

    /// Appends it to `buffer`, by a copy of constant size of which what is too much is taken back. It has room.
    #[inline(always)]
    pub(crate) fn put(self, buffer: &mut Vec<u8>) {
        let len = buffer.len() + self.len;
        buffer.extend_from_slice(&self.bits.to_le_bytes());
        buffer.truncate(len);
    }
}

/// A value of at most 56 bits as it stands on the wire, and its size.
#[inline]
fn packed(value: u64) -> (u64, usize) {
    let size = size(value);
    (spread(value) | (CONTINUE & ((1 << (8 * (size - 1))) - 1)), size)
}

/// Appends any unsigned varint to `buffer`.
pub(crate) fn put(value: u64, buffer: &mut Vec<u8>) {
    if value >> 56 == 0 {
        let (bits, len) = packed(value);
        return Word { bits, len }.put(buffer);
    }
    // Nine or ten bytes: timestamps millions of years apart.
    let mut left = value;
    while left >= 0x80 {
        buffer.push(left as u8 | 0x80);
        left >>= 7;
    }
    buffer.push(left as u8);
}

/// Reads an unsigned varint of at most `MAX` bytes at `*at`; `None` if it is cut or over-long.
#[inline(always)]
pub(crate) fn read<const MAX: usize>(bytes: &[u8], at: &mut usize) -> Option<u64> {
    // Short ones by branches, which the processor predicts: where the next field begins then does not wait for this one's bytes.
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    let second = *bytes.get(*at + 1)?;
    if second < 0x80 {
        *at += 2;
        return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
    }
    let (value, size) = long::<MAX>(bytes.get(*at..)?)?;
    *at += size;
    Some(value)
}

/// A varint of three bytes or more, and its size.
#[inline(never)]
fn long<const MAX: usize>(bytes: &[u8]) -> Option<(u64, usize)> {
    if let Some(word) = bytes.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let stops = !word & CONTINUE;
        if stops != 0 {
            let size = (stops.trailing_zeros() as usize >> 3) + 1;
            let value = gather(word & (u64::MAX >> (64 - 8 * size)));
            let fits = MAX != 5 || (size <= 5 && value <= u64::from(u32::MAX));
            return fits.then_some((value, size));
        }
    }
    slow::<MAX>(bytes)
}

#[cold]
fn slow<const MAX: usize>(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u128;
    for (index, byte) in bytes.iter().take(MAX).enumerate() {
        value |= u128::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            let limit = if MAX == 5 { u128::from(u32::MAX) } else { u128::from(u64::MAX) };
            return (value <= limit).then_some((value as u64, index + 1));
        }
    }
    None
}

/// Reads a signed varint of at most 5 bytes.
#[inline(always)]
pub(crate) fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    // A zigzag of 32 bits comes back as a value of 32 bits.
    read::<5>(bytes, at).map(|value| unzigzag(value) as i32)
}

/// Reads a signed varint of at most 10 bytes.
#[inline(always)]
pub(crate) fn read_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    read::<10>(bytes, at).map(unzigzag)
}
