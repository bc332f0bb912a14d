//! Settings as texts under their Java names: read from a `.properties` file or pairs, taken by the components that know them.
//!
//! Every name is checked against the table of `defaults` when it is set: one that nobody knows is refused with the nearest that is
//! known. Each component takes its own settings with the typed `take_` methods and then calls [`Properties::finish`], so that no
//! setting is passed over in silence. Names of librdkafka are understood as aliases. Values may be secret: `Debug` hides them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::Secret;
use crate::config::defaults::{ALIASES, Component, SETTINGS, Use, canonical, setting};
use crate::config::nearest;
use crate::error::{Error, ErrorKind, Result};

/// Settings by name, each until it is taken.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    /// By the name used here: the name it was given under, and the value, which may be secret and is wiped at its end.
    entries: BTreeMap<String, (String, Zeroizing<String>)>,
}

impl Properties {
    /// No settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pairs of name and value; a name given twice has its last value.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self> {
        let mut properties = Self::new();
        for (name, value) in pairs {
            properties.set(name.as_ref(), value.as_ref())?;
        }
        Ok(properties)
    }

    /// The text of a Java `.properties` file: `name=value` or `name: value` by line, `#` and `!` begin comments, a backslash continues
    /// a line or escapes what follows.
    ///
    /// # Errors
    /// As [`set`](Self::set), and for a malformed escape, naming the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut properties = Self::new();
        for (number, line) in logical_lines(text) {
            let at = |why: &dyn fmt::Display| Error::new(ErrorKind::InvalidConfig, format!("properties, line {number}: {why}"));
            let (name, value) = split_line(&line).map_err(|why| at(&why))?;
            properties.set(&name, &value).map_err(|error| at(&error))?;
        }
        Ok(properties)
    }

    /// Reads a Java `.properties` file in UTF-8.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and when the file cannot be read; each names the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let named = |why: &dyn fmt::Display| Error::new(ErrorKind::InvalidConfig, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(&error).with_source(error))?;
        Self::parse(&text).map_err(|error| named(&error))
    }

    /// Sets one value, over one that is there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] for a name that nobody knows (with the nearest that is known), one of a feature that is not built
    /// yet, and one that has no meaning here (with the reason).
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let name = name.trim();
        let known = canonical(name);
        let invalid = |why: String| Err(Error::new(ErrorKind::InvalidConfig, why));
        match setting(known).map(|setting| setting.used) {
            Some(Use::By(_)) => {
                self.entries.insert(known.to_owned(), (name.to_owned(), value.trim().to_owned().into()));
                Ok(())
            }
            Some(Use::Later) => invalid(format!("setting \"{name}\" belongs to a feature that is not built yet; remove it")),
            Some(Use::Unused(why)) => invalid(format!("setting \"{name}\" is known to Java but not used here: {why}")),
            None => invalid(
                match nearest(name, SETTINGS.iter().map(|setting| setting.name).chain(ALIASES.iter().map(|(alias, _)| *alias))) {
                    Some(near) => format!("unknown setting \"{name}\"; is \"{near}\" meant?"),
                    None => format!("unknown setting \"{name}\""),
                },
            ),
        }
    }

    /// Is this setting there?
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(canonical(name))
    }

    /// The value of a setting, without taking it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(canonical(name)).map(|(_, value)| value.as_str())
    }

    /// Takes a setting; `None` if it is not there.
    pub fn take(&mut self, name: &str) -> Option<String> {
        debug_assert!(setting(name).is_some(), "{name} is not in the table");
        self.entries.remove(name).map(|(_, value)| (*value).clone())
    }

    /// Takes a setting that must not be shown.
    pub fn take_secret(&mut self, name: &str) -> Option<Secret> {
        debug_assert!(setting(name).is_some() && is_secret(name), "{name} is no secret in the table");
        self.entries.remove(name).map(|(_, value)| Secret::from(value.as_str()))
    }

    /// The first setting whose name begins with `prefix`, as it was given.
    pub(crate) fn given_below(&self, prefix: &str) -> Option<&str> {
        let (_, (given, _)) = self.entries.iter().find(|(name, _)| name.starts_with(prefix))?;
        Some(given)
    }

    /// Takes a setting and parses it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming setting, value, and why it cannot be.
    pub fn take_parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>> {
        let Some((given, value)) = self.entries.remove(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|error| invalid(&given, &value, &error))
    }

    /// Takes a time in milliseconds.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed).
    pub fn take_millis(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some((given, value)) = self.entries.remove(name) else { return Ok(None) };
        // The protocol's times are 32 bit; more than 24 days is longer than any wait here makes sense.
        let millis = value.parse::<u64>().ok().filter(|millis| *millis <= u64::from(i32::MAX.unsigned_abs()));
        let millis = millis.ok_or_else(|| invalid(&given, &value, &"it must be a number of milliseconds, 0 to 2147483647"))?;
        Ok(Some(Duration::from_millis(millis)))
    }

    /// Takes a size or count.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed).
    pub fn take_size(&mut self, name: &str) -> Result<Option<usize>> {
        let Some((given, value)) = self.entries.remove(name) else { return Ok(None) };
        let size = value.parse().map_err(|_| invalid(&given, &value, &"it must be a whole number, 0 or more"))?;
        Ok(Some(size))
    }

    /// Takes `true` or `false`, in any case.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed).
    pub fn take_bool(&mut self, name: &str) -> Result<Option<bool>> {
        let Some((given, value)) = self.entries.remove(name) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(invalid(&given, &value, &"it must be true or false")),
        }
    }

    /// Takes a list of texts with commas between.
    pub fn take_list(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.take(name)?;
        Some(value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    /// Takes one of the `allowed` texts, in any case; gives it as in `allowed`.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed), naming what is allowed.
    pub fn take_choice(&mut self, name: &str, allowed: &[&'static str]) -> Result<Option<&'static str>> {
        let Some((given, value)) = self.entries.remove(name) else { return Ok(None) };
        let found = allowed.iter().find(|allowed| allowed.eq_ignore_ascii_case(&value));
        found
            .map(|found| Some(*found))
            .ok_or_else(|| invalid(&given, &value, &format_args!("it must be one of {}", allowed.join(", "))))
    }

    /// What is left of `component` after it took its settings is a setting that it does not know how to use.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming it.
    pub fn finish(&self, component: Component) -> Result<()> {
        let of = |name: &&String| setting(name).is_some_and(|setting| setting.used == Use::By(component));
        match self.entries.keys().find(of).and_then(|name| self.entries.get(name)) {
            Some((given, _)) => {
                Err(Error::new(ErrorKind::InvalidConfig, format!("setting \"{given}\" is not built yet here; remove it")))
            }
            None => Ok(()),
        }
    }
}

/// Shows names; values only where they cannot be secret, which is decided by the name.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, (_, value)): (&String, &(String, Zeroizing<String>))| {
            (name.clone(), if is_secret(name) { "[hidden]".to_owned() } else { (**value).clone() })
        };
        f.debug_map().entries(self.entries.iter().map(shown)).finish()
    }
}

/// May the values of this setting not be shown?
fn is_secret(name: &str) -> bool {
    ["password", "passphrase", "jaas", "secret", ".key", "ssl.key", "token", "certificate"].iter().any(|word| name.contains(word))
}

fn invalid(name: &str, value: &str, why: &dyn fmt::Display) -> Error {
    if is_secret(name) {
        return Error::new(ErrorKind::InvalidConfig, format!("setting \"{name}\": {why}"));
    }
    Error::new(ErrorKind::InvalidConfig, format!("setting \"{name}\" is \"{value}\": {why}"))
}

/// The lines with their numbers, without comments and blank ones, continued lines put together.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.chars().rev().take_while(|letter| *letter == '\\').count();
        let continued = backslashes % 2 == 1;
        let (number, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        whole.push_str(if continued { line.get(..line.len() - 1).unwrap_or(line) } else { line });
        if continued {
            open = Some((number, whole));
        } else {
            lines.push((number, whole));
        }
    }
    lines.extend(open);
    lines
}

/// Name and value of a line, escapes resolved.
fn split_line(line: &str) -> std::result::Result<(String, String), String> {
    let mut letters = line.chars().peekable();
    let mut name = String::new();
    while let Some(letter) = letters.next_if(|letter| !matches!(letter, '=' | ':') && !letter.is_whitespace()) {
        name.push(if letter == '\\' { escaped(&mut letters)? } else { letter });
    }
    while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    if letters.next_if(|letter| matches!(letter, '=' | ':')).is_some() {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    }
    let mut value = String::new();
    while let Some(letter) = letters.next() {
        value.push(if letter == '\\' { escaped(&mut letters)? } else { letter });
    }
    Ok((name, value))
}

/// The letter that follows a backslash stands for.
fn escaped(letters: &mut impl Iterator<Item = char>) -> std::result::Result<char, String> {
    match letters.next() {
        Some('n') => Ok('\n'),
        Some('t') => Ok('\t'),
        Some('r') => Ok('\r'),
        Some('f') => Ok('\u{c}'),
        Some('u') => {
            let digits: String = letters.by_ref().take(4).collect();
            let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
            code.and_then(char::from_u32).ok_or_else(|| format!("\\u{digits} is no letter"))
        }
        Some(letter) => Ok(letter),
        None => Ok('\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        let error = Properties::new().set(name, "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    }

    #[test]
    fn a_file_is_read_as_java_reads_it() {
        let text = "# comment\n! another\n\nclient.id = orders\nacks: 1\nlinger.ms 7\ngroup.id=a\\=b\\u00e4\\tc\nbootstrap.servers=a:1,\\\n   b:2\nclient.rack=\n";
        let mut properties = Properties::parse(text).unwrap();
        assert_eq!(properties.take("client.id").as_deref(), Some("orders"));
        assert_eq!(properties.take("acks").as_deref(), Some("1"));
        assert_eq!(properties.take_millis("linger.ms").unwrap(), Some(Duration::from_millis(7)));
        assert_eq!(properties.take("group.id").as_deref(), Some("a=bä\tc"));
        assert_eq!(properties.take_list("bootstrap.servers").unwrap(), ["a:1", "b:2"]);
        assert_eq!(properties.take("client.rack").as_deref(), Some(""));
        assert_eq!(properties, Properties::new());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        assert!(refusal("linger").contains("unknown setting \"linger\""));
        assert!(refusal("batch.sise").contains("is \"batch.size\" meant?"));
        assert!(refusal("request_timeout_ms").contains("is \"request.timeout.ms\" meant?"));
        assert!(!refusal("zzzzzzzzzzzz").contains("meant"));
    }

    #[test]
    fn what_is_not_built_or_has_no_meaning_is_refused_by_name() {
        assert!(refusal("sasl.oauthbearer.scope").contains("not built yet"));
        assert!(refusal("ssl.cipher.suites").contains("known to Java but not used here"));
        assert!(refusal("key.serializer").contains("known to Java but not used here"));
    }

    #[test]
    fn aliases_of_librdkafka_are_understood_and_named_in_errors() {
        let mut properties = Properties::from_pairs([("queue.buffering.max.ms", "x")]).unwrap();
        let error = properties.take_millis("linger.ms").unwrap_err().to_string();
        assert!(error.contains("queue.buffering.max.ms") && error.contains("\"x\""), "{error}");
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let pairs = [
            ("linger.ms", "-1"),
            ("batch.size", "much"),
            ("enable.idempotence", "yes"),
            ("isolation.level", "all"),
            ("retries", "9"),
        ];
        let mut properties = Properties::from_pairs(pairs).unwrap();
        assert!(properties.take_millis("linger.ms").unwrap_err().to_string().contains("\"linger.ms\" is \"-1\""));
        assert!(properties.take_size("batch.size").unwrap_err().to_string().contains("whole number"));
        assert!(properties.take_bool("enable.idempotence").unwrap_err().to_string().contains("true or false"));
        let error = properties.take_choice("isolation.level", &["read_committed", "read_uncommitted"]).unwrap_err();
        assert!(error.to_string().contains("read_committed, read_uncommitted"));
        assert_eq!(properties.take_parsed::<u32>("retries").unwrap(), Some(9));
    }

    #[test]
    fn what_a_component_leaves_is_reported_and_what_is_anothers_is_not() {
        let properties = Properties::from_pairs([("group.id", "g")]).unwrap();
        assert!(properties.finish(Component::Producer).is_ok());
        assert!(properties.finish(Component::Consumer).unwrap_err().to_string().contains("\"group.id\""));
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_file() {
        let error = Properties::parse("client.id=x\nnope=1\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("\"nope\""), "{error}");
        assert!(Properties::parse("client.id=\\uZZZZ").unwrap_err().to_string().contains("line 1"));
        let error = Properties::read("/no/such/file.properties").unwrap_err().to_string();
        assert!(error.contains("/no/such/file.properties"), "{error}");
    }
}
