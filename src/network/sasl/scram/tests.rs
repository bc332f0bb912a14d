use proptest::prelude::*;

use super::*;

/// Our nonce in RFC 7677's example.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

fn scram(hash: Hash, sasl: &Sasl) -> Scram {
    Scram::new(sasl, NONCE.to_owned(), Arc::new(SaltedPasswords::new(hash, sasl.password.clone())))
}

fn pencil(hash: Hash) -> Scram {
    scram(hash, &Sasl::scram_sha_256("user", "pencil"))
}

/// What is said, as text.
fn said(turn: Turn) -> String {
    match turn {
        Turn::Say(message) => String::from_utf8(message.to_vec()).unwrap(),
        other => panic!("nothing is said: {}", outcome(&other)),
    }
}

fn outcome(turn: &Turn) -> String {
    match turn {
        Turn::Say(_) => "said".to_owned(),
        Turn::Work(_) => "work".to_owned(),
        Turn::Done => "done".to_owned(),
        Turn::Refuse(why) => format!("refuse: {why}"),
        Turn::Refused(said) => format!("refused: {said}"),
    }
}

/// Answers the first message, does the work that follows, and gives what is said then.
fn challenged(scram: &mut Scram, first: &str) -> Turn {
    match scram.handle_challenge(first.as_bytes()) {
        Turn::Work(work) => scram.handle_work(work.run()),
        other => other,
    }
}

#[test]
fn rk_212_proof_and_signature_are_those_of_rfc_7677_and_of_the_line_for_sha_512() {
    for (hash, first, proof, signature) in [
        (Hash::Sha256, FIRST, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
        (
            Hash::Sha512,
            "r=rOprNGfwEbeRWgbNEkqOsrvnonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "wWoWYtR++rCYbJGp6Y2V9nWZ3X3I7qS9EXflzoX1I3gXnMhHKrDOv/Xti9Zka0J13SF9hgs/bt2qjfPRyaRN7w==",
            "VutUhpiEgILMaTHRv0pdzglFSGaXdEILhS8F8iueoYXg7ORAP9QC+Io646R2/3hvNCFaZjcV+fnApcIhco+YgA==",
        ),
    ] {
        let mut scram = pencil(hash);
        assert_eq!(said(scram.start()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = first.split(',').next().unwrap();
        // The nonce is the broker's, not ours and the broker's.
        assert_eq!(said(challenged(&mut scram, first)), format!("c=biws,{nonce},p={proof}"));
        assert_eq!(outcome(&scram.handle_challenge(format!("v={signature}").as_bytes())), "done");
    }
}

#[test]
fn rk_213_equals_signs_and_commas_in_a_user_name_are_escaped() {
    let first = |sasl: &Sasl| said(scram(Hash::Sha256, sasl).start());
    assert_eq!(first(&Sasl::scram_sha_256("us=e,r", "x")), format!("n,,n=us=3De=2Cr,r={NONCE}"));
    assert_eq!(first(&Sasl::scram_sha_256("=2C", "x")), format!("n,,n==3D2C,r={NONCE}"));
    // Kafka compares names and passwords byte by byte: nothing is normalised.
    assert_eq!(first(&Sasl::scram_sha_256("\u{2168}\u{aa}", "x")), format!("n,,n=\u{2168}\u{aa},r={NONCE}"));
}

#[test]
fn a_delegation_token_says_that_it_is_one() {
    let sasl = Sasl::scram_sha_256("token-id", "hmac").delegation_token();
    let mut scram = scram(Hash::Sha256, &sasl);
    assert_eq!(said(scram.start()), format!("n,,n=token-id,r={NONCE},tokenauth=true"));
    // The extension is part of what is signed.
    let proof = said(challenged(&mut scram, FIRST));
    let without = said(challenged(&mut self::scram(Hash::Sha256, &Sasl::scram_sha_256("token-id", "hmac")), FIRST));
    assert_ne!(proof, without);
}

#[test]
fn a_password_is_taken_as_its_bytes_are() {
    // SASLprep would make these two the same.
    let proof = |password| said(challenged(&mut scram(Hash::Sha256, &Sasl::scram_sha_256("user", password)), FIRST));
    assert_ne!(proof("p\u{e4}ss"), proof("pa\u{308}ss"));
}

#[test]
fn a_first_message_that_is_not_acceptable_is_refused_before_anything_is_computed() {
    let salt = |bytes: usize| STANDARD.encode(vec![7; bytes]);
    let more = format!("r={NONCE}more");
    for (message, why) in [
        (format!("m=ext,{FIRST}"), "extension"),
        (format!("r={NONCE},s={},i=4096", salt(16)), "does not continue"),
        (format!("r=x{NONCE},s={},i=4096", salt(16)), "does not continue"),
        (format!("r=,s={},i=4096", salt(16)), "does not continue"),
        (format!("{more}\u{7f},s={},i=4096", salt(16)), "does not continue"),
        (format!("{more},s={},i=4096", salt(7)), "has 7 bytes"),
        (format!("{more},s={},i=4096", salt(1025)), "has 1025 bytes"),
        (format!("{more},s=,i=4096"), "has 0 bytes"),
        (format!("{more},s=***,i=4096"), "not base64"),
        (format!("{more},s= {},i=4096", salt(16)), "not base64"),
        (format!("{more},s={},i=4095", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=1000001", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=2147483648", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=99999999999999999999", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=+4096", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=-1", salt(16)), "4096 to 1000000"),
        (format!("{more},s={},i=", salt(16)), "4096 to 1000000"),
        (format!("{more},s={}", salt(16)), "no number of iterations"),
        (format!("{more},i=4096,s={}", salt(16)), "no salt in its place"),
        (format!("s={},{more},i=4096", salt(16)), "no nonce in its place"),
        (String::new(), "no nonce"),
        ("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned(), "no nonce"),
    ] {
        let mut scram = pencil(Hash::Sha256);
        scram.start();
        let outcome = outcome(&scram.handle_challenge(message.as_bytes()));
        assert!(outcome.starts_with("refuse: ") && outcome.contains(why), "{message}: {outcome}");
        assert!(!outcome.contains(NONCE), "{outcome}");
        // It is over.
        assert!(matches!(scram.handle_challenge(FIRST.as_bytes()), Turn::Refuse(_)));
    }
    for (bytes, iterations) in [(8, 4096), (1024, 1_000_000)] {
        let message = format!("{more},s={},i={iterations},ext=later", salt(bytes));
        assert_eq!(outcome(&pencil(Hash::Sha512).handle_challenge(message.as_bytes())), "work");
    }
}

#[test]
fn an_error_in_place_of_either_message_is_the_brokers_refusal() {
    let mut scram = pencil(Hash::Sha256);
    scram.start();
    assert_eq!(outcome(&scram.handle_challenge(b"e=unknown-user,more")), "refused: unknown-user");
    let mut scram = pencil(Hash::Sha256);
    challenged(&mut scram, FIRST);
    assert_eq!(outcome(&scram.handle_challenge(b"e=invalid-proof")), "refused: invalid-proof");
}

#[test]
fn a_broker_that_does_not_prove_itself_is_not_believed() {
    for last in [
        "",
        "v=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
        "v=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4= ",
        "x=1,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        FIRST,
    ] {
        let mut scram = pencil(Hash::Sha256);
        challenged(&mut scram, FIRST);
        assert!(matches!(scram.handle_challenge(last.as_bytes()), Turn::Refuse(_)), "{last}");
        let right = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert!(matches!(scram.handle_challenge(right), Turn::Refuse(_)), "there is no second try");
    }
    assert!(matches!(pencil(Hash::Sha256).handle_challenge(&[0xff]), Turn::Refuse(_)), "not text");
}

/// Text that a broker may send: parts of real messages, cut and mixed, or anything.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(NONCE.to_owned()),
        Just(format!("r={NONCE}")),
        Just(format!("r={NONCE}more")),
        Just("s=W22ZaJ0SNY7soEsUEjb6gQ==".to_owned()),
        Just("i=4096".to_owned()),
        Just("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned()),
        Just("e=other-error".to_owned()),
        Just("m=x".to_owned()),
        "[a-z]=[!-~]{0,40}",
        "\\PC{0,20}",
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the broker says, in whatever order: success follows the one right signature only, and nothing panics.
    #[test]
    fn nobody_is_logged_in_without_a_valid_signature(
        messages in prop::collection::vec(prop_oneof![2 => hostile(), 2 => Just(format!("r={NONCE}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")), 1 => Just("right".to_owned())], 1..6),
    ) {
        // Derived once for all cases.
        static SALTED: std::sync::LazyLock<Arc<SaltedPasswords>> =
            std::sync::LazyLock::new(|| Arc::new(SaltedPasswords::new(Hash::Sha256, "pencil".into())));
        let mut scram = Scram::new(&Sasl::scram_sha_256("user", "pencil"), NONCE.to_owned(), SALTED.clone());
        scram.start();
        let mut first = None;
        for message in messages {
            // The broker that knows the password signs what was said.
            let signature = first.as_ref().map(|first: &String| {
                let nonce = first.split(',').next().unwrap();
                let signed = format!("n=user,r={NONCE},{first},c=biws,{nonce}");
                let Challenge { salt, iterations, .. } = Challenge::parse(first, NONCE).unwrap();
                STANDARD.encode(&*prove(Hash::Sha256, &SALTED.get(&salt, iterations), signed.as_bytes()).server_signature)
            });
            let message = match &signature {
                Some(signature) if message == "right" => format!("v={signature}"),
                _ => message,
            };
            match scram.handle_challenge(message.as_bytes()) {
                Turn::Work(work) => {
                    prop_assert!(first.is_none());
                    first = Some(message);
                    prop_assert!(matches!(scram.handle_work(work.run()), Turn::Say(_)));
                }
                Turn::Done => {
                    prop_assert_eq!(message.split(',').next().unwrap(), format!("v={}", signature.unwrap()));
                    return Ok(());
                }
                Turn::Say(_) => prop_assert!(false, "nothing is to be said without work"),
                Turn::Refuse(_) | Turn::Refused(_) => return Ok(()),
            }
        }
    }
}
