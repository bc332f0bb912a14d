//! Random frames of every message and version: klamm must read and rewrite them to the same bytes; damaged frames must give errors
//! that name a field, and never a panic. What others make of such values stands in `protocol_java.rs` and
//! `protocol_second_opinion.rs`.

mod declarations;

use bytes::Bytes;
use declarations::{Random, cases, put_uvarint, recode};
use klamm::protocol::messages::*;
use klamm::protocol::{ApiMessage, Declaration, DecodeErrorKind};
use proptest::prelude::*;

/// Random frames for each message and version.
const FRAMES: u64 = 12;

/// Calls `check` with `frames` random frames for each message and version.
fn for_all(frames: u64, unknown_tags: bool, mut check: impl FnMut(&Declaration, i16, &Bytes)) {
    for case in cases() {
        for version in case.each_version() {
            for seed in 0..frames {
                let mut random = Random { unknown_tags, ..Random::new(case, version, seed) };
                check(case, version, &random.frame(case));
            }
        }
    }
}

#[test]
fn decoded_messages_encode_to_the_same_bytes() {
    for_all(FRAMES, false, |case, version, frame| {
        assert_eq!(recode(case, frame, version).as_deref(), Ok(&frame[..]), "{} version {version}", case.name);
    });
}

#[test]
fn unknown_tags_are_skipped() {
    for_all(FRAMES, true, |case, version, frame| {
        let again = recode(case, frame, version).unwrap();
        assert_eq!(again.len() < frame.len(), (case.is_flexible)(version), "{} version {version}", case.name);
        assert_eq!(recode(case, &again.clone().into(), version), Ok(again));
    });
}

#[test]
fn every_cut_frame_is_an_error() {
    for_all(3, false, |case, version, frame| {
        // Large frames are cut in some places only; the first bytes and the last matter most.
        let some = (0..frame.len()).step_by(1 + frame.len() / 60);
        let last = frame.len().saturating_sub(30)..frame.len();
        for len in (0..frame.len().min(30)).chain(some).chain(last) {
            let cut = frame.slice(..len);
            let error = (case.decode)(&cut, version).expect_err("a cut frame");
            if len % 7 == 0 {
                let text = (case.explain)(&cut, version, error);
                assert!(text.starts_with(case.name) && !text.contains(", end ("), "no field is named: {text}");
            }
        }
        let longer = Bytes::from([frame, &[0][..]].concat());
        let error = (case.decode)(&longer, version).expect_err("a byte too many");
        assert_eq!((error.kind, error.left), (DecodeErrorKind::Trailing, 1), "{} version {version}", case.name);
    });
}

#[test]
fn damaged_frames_do_not_panic() {
    for_all(3, true, |case, version, frame| {
        for at in (0..frame.len()).step_by(1 + frame.len() / 16) {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let mut damaged = frame.to_vec();
                damaged[at] = byte;
                let one = Bytes::from(damaged.clone());
                damaged[at..].fill(byte);
                for damaged in [one, damaged.into()] {
                    if let Err(error) = recode(case, &damaged, version) {
                        (case.explain)(&damaged, version, error);
                    }
                }
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(prop_oneof![4 => 0u8..4, 1 => any::<u8>()], 0..400), which in any::<prop::sample::Index>(), version in 0i16..19) {
        let cases = cases();
        let case = which.get(cases);
        let frame = Bytes::from(bytes);
        match recode(case, &frame, version) {
            // What was accepted says the same again; unknown tags and forms longer than needed are gone.
            Ok(again) => prop_assert_eq!(recode(case, &again.clone().into(), version), Ok(again)),
            Err(error) => {
                prop_assert!(error.left <= frame.len());
                let text = (case.explain)(&frame, version, error);
                prop_assert!(text.starts_with(case.name), "{}", text);
            }
        }
    }
}

#[test]
fn versions_outside_the_declared_range_are_refused() {
    for case in cases() {
        for version in [case.versions.0 - 1, case.versions.1 + 1, i16::MIN, i16::MAX] {
            let error = (case.decode)(&Bytes::new(), version).expect_err(case.name);
            assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion(version), "{}", case.name);
        }
    }
}

/// The text of the error that decoding `body` gives.
fn explained<M: ApiMessage>(body: Vec<u8>, version: i16) -> String {
    let body = Bytes::from(body);
    match M::decode(&body, version) {
        Ok(_) => panic!("{} accepts it", M::NAME),
        Err(error) => M::explain(&body, version, error),
    }
}

#[test]
fn errors_name_the_field_and_the_byte() {
    use delete_topics::DeleteTopicsRequest as Delete;
    use find_coordinator::FindCoordinatorRequest as Find;
    // Version 4: an array of text, then a time-out, then tags.
    assert_eq!(
        explained::<Delete>(vec![3, 2, b'a', 9, b'b'], 4),
        "DeleteTopicsRequest version 4, TopicNames[1] (byte 4 of 5): a length is negative, malformed or longer than the frame"
    );
    assert_eq!(
        explained::<Delete>(vec![2, 3, 0xc3, 0x28, 0, 0, 0, 1, 0], 4),
        "DeleteTopicsRequest version 4, TopicNames[0] (byte 4 of 9): text is not UTF-8 or too long"
    );
    assert_eq!(
        explained::<Delete>(vec![0, 0, 0, 0, 1, 0], 4),
        "DeleteTopicsRequest version 4, TopicNames (byte 1 of 6): null where this version has none"
    );
    assert_eq!(
        explained::<Delete>(vec![1, 0, 0, 0, 1, 0, 7], 4),
        "DeleteTopicsRequest version 4, end (byte 6 of 7): bytes are left over after the value"
    );
    assert_eq!(
        explained::<Delete>(vec![1, 0, 0], 4),
        "DeleteTopicsRequest version 4, TimeoutMs (byte 1 of 3): the frame ends inside a value"
    );
    assert_eq!(explained::<Find>(vec![], 7), "FindCoordinatorRequest: version 7 of the message is not known");
}

#[test]
fn tags_must_ascend_and_known_ones_must_fill_their_size() {
    use api_versions::ApiVersionsResponse as Versions;
    // Version 3: error code, no APIs, throttle time; then tags.
    let start = [0, 0, 1, 0, 0, 0, 0];
    let with_tags = |tags: &[u8]| [&start[..], tags].concat();
    let good = Bytes::from(with_tags(&[2, 1, 8, 0, 0, 0, 0, 0, 0, 0, 5, 9, 1, 1]));
    assert_eq!(Versions::decode(&good, 3).unwrap().finalized_features_epoch, 5);
    for (tags, name, why) in [
        (&[2, 3, 1, 1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 5][..], "FinalizedFeaturesEpoch", "tagged fields are not in ascending order"),
        (&[2, 9, 0, 9, 0], "tag 9", "tagged fields are not in ascending order"),
        (&[1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0], "FinalizedFeaturesEpoch", "bytes are left over after the value"),
        (&[1, 1, 7, 0, 0, 0, 0, 0, 0, 0], "FinalizedFeaturesEpoch", "the frame ends inside a value"),
        (&[1, 1, 9, 0, 0], "FinalizedFeaturesEpoch", "a length is negative, malformed or longer than the frame"),
        (&[1, 0xff, 0xff, 0xff, 0xff, 0x10, 0], "", "a length is negative, malformed or longer than the frame"),
    ] {
        let text = explained::<Versions>(with_tags(tags), 3);
        assert!(text.contains(name) && text.ends_with(why), "{text}");
    }
    let mut many = start.to_vec();
    put_uvarint(&mut many, 10_001);
    many.extend([0; 30_000]);
    assert!(explained::<Versions>(many, 3).ends_with("more elements than any message may have"));
}

#[test]
fn what_a_version_cannot_carry_is_an_error_and_not_dropped() {
    use klamm::protocol::{EncodeError, TopicName};
    let fetch = fetch::FetchRequest { rack_id: "a".try_into().unwrap(), ..Default::default() };
    assert_eq!(fetch.check_version(4), Ok(()), "the schema says that a broker can do without");
    let forgotten = fetch::ForgottenTopic { topic: TopicName::default(), ..Default::default() };
    let fetch = fetch::FetchRequest { forgotten_topics_data: vec![forgotten], ..fetch };
    assert_eq!(fetch.check_version(6), Err(EncodeError::NotInVersion { field: "forgotten_topics_data", version: 6 }));
    assert_eq!(fetch.check_version(7), Ok(()));
    assert_eq!(fetch.check_version(99), Err(EncodeError::UnsupportedVersion(99)));
    let metadata = metadata::MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(metadata.check_version(0), Err(EncodeError::Null { field: "topics", version: 0 }));
    assert_eq!(metadata.check_version(1), Ok(()));
}
