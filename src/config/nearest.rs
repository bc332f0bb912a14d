//! The name that somebody may have meant who gave one that is not there.

/// Of `known` the name most like `wanted`; `None` if none is like it. Of several that are as like, the first in order.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(wanted);
    // One slip in a short name, one more for every four characters of a longer one.
    let limit = 1 + wanted.len() / 4;
    let near = known.filter(|name| name.len().abs_diff(wanted.len()) <= limit);
    let near = near.filter_map(|name| Some((distance(&wanted, &folded(name), limit)?, name)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// What is often mixed up, alike: letters large and small, and the separators of names.
fn folded(name: &str) -> Vec<u8> {
    let fold = |byte: u8| if matches!(byte, b'.' | b'_') { b'-' } else { byte.to_ascii_lowercase() };
    name.bytes().map(fold).collect()
}

/// How many bytes to insert, delete, replace, or swap with their neighbours, make one of the other; `None` beyond `limit`.
fn distance(one: &[u8], other: &[u8], limit: usize) -> Option<usize> {
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=other.len()).collect());
    let mut previous = None;
    for (row, &byte) in (1..).zip(one) {
        let mut next = Vec::with_capacity(last.len());
        next.push(row);
        let mut left = row;
        for (column, &with) in other.iter().enumerate() {
            // Each row is one longer than `other`.
            let (above, diagonal) = (last.get(column + 1).copied()?, last.get(column).copied()?);
            let mut least = (above + 1).min(left + 1).min(diagonal + usize::from(byte != with));
            if let (Some(earlier), Some(left_of)) = (previous, column.checked_sub(1))
                && earlier == with
                && other.get(left_of) == Some(&byte)
            {
                least = least.min(before.get(left_of)? + 1);
            }
            next.push(least);
            left = least;
        }
        if next.iter().min().is_none_or(|least| *least > limit) {
            return None;
        }
        (before, last) = (std::mem::take(&mut last), next);
        previous = Some(byte);
    }
    last.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_nothing_that_is_far() {
        let known = ["orders", "orders-v2", "payments", "customer.events", "a", "xy"];
        for (wanted, expected) in [
            ("order", Some("orders")),
            ("Orders", Some("orders")),
            ("odrers", Some("orders")),
            ("ordesr", Some("orders")),
            ("orders_v2", Some("orders-v2")),
            ("order-v2", Some("orders-v2")),
            ("payment", Some("payments")),
            ("Customer-Events", Some("customer.events")),
            ("customerevnts", Some("customer.events")),
            ("b", Some("a")),
            ("shipments", None),
            ("something-else", None),
            ("", Some("a")),
        ] {
            assert_eq!(nearest(wanted, known.into_iter()), expected, "{wanted}");
        }
        assert_eq!(nearest("orders", std::iter::empty()), None);
    }

    #[test]
    fn distances_count_slips() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 1), ("abcd", "badc", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one.as_bytes(), other.as_bytes(), 9), Some(expected), "{one} {other}");
            assert_eq!(distance(other.as_bytes(), one.as_bytes(), 9), Some(expected), "{one} {other}");
            assert_eq!(distance(one.as_bytes(), other.as_bytes(), expected), Some(expected), "{one} {other}");
            assert!(expected == 0 || distance(one.as_bytes(), other.as_bytes(), expected - 1).is_none(), "{one} {other}");
        }
    }
}
