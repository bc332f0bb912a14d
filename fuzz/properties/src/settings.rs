//! Settings as text: read or refused, and no error shows a secret.

use std::error::Error as _;

use klamm::Client;
use klamm::config::Properties;

use crate::input::Input;

const CANARY: &str = "canary-of-a-password";

/// The text of a properties file.
pub(crate) fn properties(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Properties::parse(&text) {
        Ok(properties) => {
            let _ = format!("{properties:?}");
            if let Err(error) = Client::from_properties(properties) {
                assert_short(&error, &text);
            }
        }
        Err(error) => assert_short(&error, &text),
    }
}

/// Each letter of what was given may come back as an escape, and little more.
fn assert_short(error: &klamm::Error, text: &str) {
    let shown = shown(error);
    assert!(shown.len() < 4096 + 16 * text.len(), "{} bytes of error for {} of text", shown.len(), text.len());
}

/// All that an error shows.
fn shown(error: &klamm::Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    shown
}

/// How the password stands in the line, and what stands around it.
pub(crate) fn jaas(input: &[u8]) {
    if Input(input).knows(CANARY) {
        return;
    }
    let (how, text) = input.split_first().map_or((0, input), |(how, text)| (*how, text));
    let text = String::from_utf8_lossy(text);
    // A line of its own for each setting; the line itself may be anything.
    let text: String = text.chars().filter(|letter| *letter != '\\').collect();
    let middle = text.char_indices().nth(usize::from(how >> 3)).map_or(text.len(), |(at, _)| at);
    let (before, after) = text.split_at(middle);
    let line = match how & 7 {
        0 => text.clone(),
        1 => format!("{before}{CANARY}{after}"),
        2 => format!("{before}\"{CANARY}\"{after}"),
        3 => format!("PlainLoginModule required username=\"alice\" password=\"{CANARY}\"{text}"),
        4 => format!("PlainLoginModule required {before}password={CANARY} {after};"),
        5 => format!("ScramLoginModule required username=\"{before}\" password=\"{CANARY}{after}\";"),
        6 => format!("org.apache.kafka.common.security.plain.PlainLoginModule required password='{CANARY}' {text};"),
        _ => format!("{text} required username=\"alice\" password=\"{CANARY}\";"),
    };
    let mechanism = if how & 7 == 5 { "SCRAM-SHA-256" } else { "PLAIN" };
    let pairs = [
        ("bootstrap.servers", "localhost:9092"),
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", mechanism),
        ("sasl.jaas.config", line.as_str()),
    ];
    let properties = Properties::from_pairs(pairs).expect("names that are known");
    assert!(!format!("{properties:?}").contains(CANARY), "the settings show a secret");
    match Client::from_properties(properties) {
        Ok(client) => assert!(!format!("{client:?}").contains(CANARY), "the client shows a secret"),
        Err(error) => assert!(!shown(&error).contains(CANARY), "an error shows a secret: {error}"),
    }
}
