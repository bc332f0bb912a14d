//! SCRAM against a server that says anything: nobody is logged in without a signature that is right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use klamm::config::{Sasl, SaslMechanism};
use klamm::unstable::{Login, Wish};
use sha2::{Sha256, Sha512};

use crate::input::Input;

/// The client's nonce.
pub(crate) const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
const PASSWORD: &str = "canary-of-a-password";

/// Which hash, who, whether the server knows the password, then its messages.
pub(crate) fn scram(input: &[u8]) {
    let mut input = Input(input);
    if input.knows(PASSWORD) {
        return;
    }
    let how = input.byte();
    let mechanism = if how & 1 == 0 { SaslMechanism::ScramSha256 } else { SaslMechanism::ScramSha512 };
    let user = input.text();
    let mut login = Login::new(&Sasl::new(mechanism, user, PASSWORD), NONCE);
    let Wish::Say(first) = login.start() else { panic!("the client speaks first") };
    let first = String::from_utf8(first).expect("text");
    let bare = first.strip_prefix("n,,").expect("no channel binding");
    assert_eq!(bare.matches(',').count(), 1, "a user's name cannot add to the message: {first}");

    // Fuzzing would not find our nonce: the server may say it.
    let mut server_first = if how & 2 == 0 { format!("r={NONCE}").into_bytes() } else { Vec::new() };
    server_first.extend_from_slice(input.piece());
    let wish = login.challenge(&server_first);
    if wish != Wish::Derive {
        return refused(&wish);
    }
    let server_first = String::from_utf8(server_first).expect("what is not text is refused");
    let iterations: u32 =
        server_first.split(",i=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).expect("iterations");
    assert!((4096..=1_000_000).contains(&iterations), "{iterations} iterations");
    let nonce = server_first.split(',').next().and_then(|part| part.strip_prefix("r=")).expect("a nonce");
    assert!(nonce.starts_with(NONCE) && nonce.len() > NONCE.len());

    let salted = [7; 32];
    let Wish::Say(last) = login.derived(salted.to_vec()) else { panic!("the password was derived") };
    let last = String::from_utf8(last).expect("text");
    let (without_proof, _) = last.rsplit_once(",p=").expect("a proof");
    let signature = signature(mechanism, &salted, &format!("{bare},{server_first},{without_proof}"));
    let server_last = match how & 4 == 0 {
        true => [input.piece(), format!("v={signature}").as_bytes(), input.piece()].concat(),
        false => input.piece().to_vec(),
    };
    let is_right = std::str::from_utf8(&server_last).is_ok_and(|text| text.split(',').next() == Some(&format!("v={signature}")));
    let wish = login.challenge(&server_last);
    assert_eq!(wish == Wish::Done, is_right, "{wish:?}");
    if !is_right {
        refused(&wish);
    }
    // It is over: nothing more can be said.
    assert!(matches!(login.challenge(input.0), Wish::Refuse(_) | Wish::Refused(_)));
}

fn refused(wish: &Wish) {
    match wish {
        Wish::Refuse(why) => assert!(!why.contains(PASSWORD), "{why}"),
        // The broker's own words: what of them is shown, the exchange decides.
        Wish::Refused(_) => {}
        _ => panic!("{wish:?}"),
    }
}

/// What a server that knows the password says last.
fn signature(mechanism: SaslMechanism, salted: &[u8], auth_message: &str) -> String {
    STANDARD.encode(match mechanism {
        SaslMechanism::ScramSha512 => mac::<Hmac<Sha512>>(&mac::<Hmac<Sha512>>(salted, "Server Key"), auth_message),
        _ => mac::<Hmac<Sha256>>(&mac::<Hmac<Sha256>>(salted, "Server Key"), auth_message),
    })
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
