//! What the fields of a struct come to: facts that its code asks for, found from the declaration while the program is compiled.

use crate::protocol::reflect::{Field, Versions};

/// What is known of a type before there is a value.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The versions in which it is.
    pub(crate) lives: Versions,
    /// The versions, a bit each, in which `check` can find something in a value; the last bit stands for all that follow.
    misfits: u64,
}

impl Summary {
    /// Of a struct with these fields: it is from the first version that any of them has to the last. What has none fits every version.
    pub(crate) const fn of(fields: &[Field]) -> Self {
        if fields.is_empty() {
            return Self { lives: (0, i16::MAX), misfits: 0 };
        }
        let (mut first, mut last) = (i16::MAX, 0);
        let mut misfits = 0;
        let mut rest = fields;
        while let [field, behind @ ..] = rest {
            let (from, to) = field.versions;
            first = if from < first { from } else { first };
            last = if to > last { to } else { last };
            misfits |= misfits_of(field);
            rest = behind;
        }
        Self { lives: (first, last), misfits }
    }

    /// Is there anything that `check` could find in this version, whatever the value? Lets it pass over whole lists.
    #[inline]
    pub(crate) fn must_check(self, version: i16) -> bool {
        self.misfits >> version.clamp(0, 63) & 1 == 1
    }
}

/// A field misfits where it is and its value does, where it is null and may not be, and where it is not and may not be dropped.
const fn misfits_of(field: &Field) -> u64 {
    let there = bits(field.versions);
    let null = match field.nullable {
        Some(versions) => !bits(versions),
        None => 0,
    };
    let absent = if field.ignorable { 0 } else { !there };
    there & (field.inner.misfits | null) | absent
}

/// A bit for each of these versions.
const fn bits(versions: Versions) -> u64 {
    let (first, last) = versions;
    let mut bits = 0;
    let mut version = 0;
    while version < 64 {
        if first <= version && (version <= last || version == 63 && last > 63) {
            bits |= 1 << version;
        }
        version += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_check(fields: &[Field], versions: std::ops::RangeInclusive<i16>) -> Vec<i16> {
        let summary = Summary::of(fields);
        versions.filter(|version| summary.must_check(*version)).collect()
    }

    #[test]
    fn a_check_is_due_where_a_field_is_not_and_may_not_be_dropped() {
        assert_eq!(must_check(&[Field::of::<i32>("always", &[0])], 0..=9), [0; 0]);
        assert_eq!(must_check(&[Field::of::<i32>("later", &[3])], 0..=5), [0, 1, 2]);
        assert_eq!(must_check(&[Field::of::<i32>("earlier", &[0, 2])], 0..=4), [3, 4]);
        assert_eq!(must_check(&[Field::of::<i32>("dropped", &[3]).ignorable()], 0..=5), [0; 0]);
        assert_eq!(must_check(&[Field::of::<i32>("one", &[2, 2]), Field::of::<i32>("two", &[0, 3])], 0..=5), [0, 1, 3, 4, 5]);
    }

    #[test]
    fn a_check_is_due_where_null_is_not_allowed() {
        let field = Field::of::<Option<i32>>("null from 2 on", &[1]).nullable(&[2]);
        assert_eq!(must_check(&[field], 0..=4), [0, 1]);
        assert_eq!(must_check(&[field.ignorable()], 0..=4), [1]);
    }

    #[test]
    fn a_check_is_due_where_one_is_due_inside() {
        let inner = Summary::of(&[Field::of::<i32>("later", &[3])]);
        let outer = Field { inner, ..Field::of::<i32>("list", &[1]) };
        assert_eq!(must_check(&[outer.ignorable()], 0..=5), [1, 2]);
    }

    #[test]
    fn versions_that_have_no_bit_of_their_own_share_the_last() {
        let open = Summary::of(&[Field::of::<i32>("open", &[3])]);
        let closed = Summary::of(&[Field::of::<i32>("closed", &[0, 9])]);
        for version in [62, 63, 64, i16::MAX] {
            assert_eq!((open.must_check(version), closed.must_check(version)), (false, true), "{version}");
        }
        assert!(open.must_check(i16::MIN), "no version, and taken as the first");
    }

    #[test]
    fn a_struct_lives_from_its_first_field_to_its_last() {
        let fields = [Field::of::<i32>("one", &[2, 4]), Field::of::<i32>("two", &[3, 7])];
        assert_eq!((Summary::of(&fields).lives, Summary::of(&[]).lives), ((2, 7), (0, i16::MAX)));
    }
}
