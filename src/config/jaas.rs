//! Java's login configuration in one line, as `sasl.jaas.config` has it:
//! `org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="alice-secret";`
//!
//! No error shows any part of the text, for a password may be anywhere in it once a quote is missing.

use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use crate::config::Secret;

/// What the text says, as far as it has a meaning here.
#[derive(Clone, Debug, Default)]
pub(super) struct Jaas {
    /// The login module's class without its package, `PlainLoginModule` for example.
    pub(super) module: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    /// `tokenauth="true"` (KIP-48).
    pub(super) is_token: bool,
}

/// Options of Java's modules that say nothing about who one is.
const IGNORED: [&str; 2] = ["serviceName", "debug"];

/// Reads the text.
///
/// # Errors
/// What is wrong, and at which character.
pub(super) fn parse(text: &str) -> Result<Jaas, String> {
    let mut words = Words { left: text.chars().peekable(), at: 0, options: 0 };
    let module = words.word()?;
    let module = module.rsplit('.').next().unwrap_or_default().to_owned();
    if module.is_empty() {
        return Err("it has no login module in front".to_owned());
    }
    let flag = words.word()?;
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.to_ascii_lowercase().as_str()) {
        return Err("behind the login module must stand \"required\"".to_owned());
    }
    let mut jaas = Jaas { module, ..Jaas::default() };
    loop {
        words.skip_blanks();
        match words.left.peek() {
            None => return Err("it must end with a semicolon".to_owned()),
            Some(';') => break,
            Some(_) => {}
        }
        words.options += 1;
        let name = words.word()?;
        words.skip_blanks();
        if words.next() != Some('=') {
            return Err(format!("an option must be name=\"value\" (character {})", words.at));
        }
        let value = words.word()?;
        match name.as_str() {
            "username" => jaas.username = Some(value.as_str().to_owned()),
            "password" => jaas.password = Some(Secret::from(value.as_str())),
            "tokenauth" => jaas.is_token = value.eq_ignore_ascii_case("true"),
            name if IGNORED.contains(&name) => {}
            // What follows a password without quotes would look like a name.
            _ => return Err(format!("option {} is none of username, password, tokenauth", words.options)),
        }
    }
    words.next();
    words.skip_blanks();
    match words.left.peek() {
        None => Ok(jaas),
        Some(_) => Err("behind its semicolon stands something; there can be one login module only".to_owned()),
    }
}

struct Words<'a> {
    left: Peekable<Chars<'a>>,
    /// Characters read.
    at: usize,
    /// Options begun.
    options: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<char> {
        self.at += 1;
        self.left.next()
    }

    fn skip_blanks(&mut self) {
        while self.left.next_if(|letter| letter.is_whitespace()).is_some() {
            self.at += 1;
        }
    }

    /// A word, or a text in quotes, in which a backslash takes the meaning from what follows.
    fn word(&mut self) -> Result<Zeroizing<String>, String> {
        self.skip_blanks();
        let mut word = Zeroizing::new(String::with_capacity(256));
        let Some(quote) = self.left.next_if(|letter| matches!(letter, '"' | '\'')) else {
            while let Some(letter) =
                self.left.next_if(|letter| !letter.is_whitespace() && !matches!(letter, '=' | ';' | '"' | '\''))
            {
                self.at += 1;
                word.push(letter);
            }
            return if word.is_empty() { Err(format!("a word is missing (character {})", self.at + 1)) } else { Ok(word) };
        };
        self.at += 1;
        let start = self.at;
        loop {
            match self.next() {
                None => return Err(format!("the quote at character {start} is not closed")),
                Some('\\') => word.extend(self.next()),
                Some(letter) if letter == quote => return Ok(word),
                Some(letter) => word.push(letter),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_lines_are_read() {
        let text = "org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"alice\" password=\"a \\\"b\\\\;=c\" ;  ";
        let jaas = parse(text).unwrap();
        assert_eq!((jaas.module.as_str(), jaas.username.as_deref()), ("ScramLoginModule", Some("alice")));
        assert_eq!(jaas.password.unwrap().expose(), "a \"b\\;=c");
        assert!(!jaas.is_token);
        let jaas = parse("PlainLoginModule REQUIRED username=bob password='x' tokenauth=true serviceName=kafka;").unwrap();
        assert_eq!((jaas.username.as_deref(), jaas.password.unwrap().expose(), jaas.is_token), (Some("bob"), "x", true));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        for (text, why) in [
            ("", "word is missing"),
            ("PlainLoginModule", "word is missing"),
            ("PlainLoginModule needed username=\"canary\";", "required"),
            ("PlainLoginModule required username=\"canary\" password=\"canary\"", "semicolon"),
            ("PlainLoginModule required username=\"canary\" password=\"canary;", "not closed"),
            ("PlainLoginModule required username=\"canary\" canary;", "name=\"value\""),
            ("PlainLoginModule required user=\"canary\" password=\"canary\";", "option 1 is none of"),
            ("PlainLoginModule required username=\"a\" password=\"b\"; canary", "one login module"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("canary"), "{text}: {error}");
        }
    }
}
