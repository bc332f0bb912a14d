//! Inputs kept as text, a line each, so that a change of one can be read: a name, a blank, the bytes in hexadecimal.

use std::fmt::Write as _;

/// A kept input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// What it is or shows, without blanks.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Reads the lines; those that begin with `#` are comments.
///
/// # Errors
/// Which line is wrong.
pub fn parse(text: &str) -> Result<Vec<Seed>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| seed(line).ok_or_else(|| format!("line {}: a name, a blank, hexadecimal digits", number + 1)))
        .collect()
}

fn seed(line: &str) -> Option<Seed> {
    let (name, digits) = line.split_once(' ')?;
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    Some(Seed { name: name.to_owned(), bytes: pairs.collect::<Option<_>>()? })
}

/// One line.
pub fn line(name: &str, bytes: &[u8]) -> String {
    let mut line = format!("{name} ");
    bytes.iter().for_each(|byte| _ = write!(line, "{byte:02x}"));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let seed = Seed { name: "Metadata-v13".to_owned(), bytes: vec![0, 0xff, 0x1a] };
        let text = format!("# comment\n\n{}\n", line(&seed.name, &seed.bytes));
        assert_eq!(parse(&text), Ok(vec![seed]));
        assert_eq!(parse("empty \n"), Ok(vec![Seed { name: "empty".to_owned(), bytes: vec![] }]));
        for wrong in ["name", "name 1", "name 1g", "name é0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
