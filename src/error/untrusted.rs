//! Text that somebody else wrote (a broker, another member of a group, a certificate), as it may be shown or logged: cut, and without
//! what would change how the rest of the line is displayed.

use std::fmt;

use crate::protocol::Str;

/// Bytes of such a text that are shown, but for the last character's and the escapes.
pub(crate) const MAX_SHOWN: usize = 1024;

/// Shows the text; see the module's head.
#[derive(Clone, Copy)]
pub(crate) struct Untrusted<'a>(pub(crate) &'a str);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = 0;
        for character in self.0.chars() {
            if written >= MAX_SHOWN {
                return f.write_str("…");
            }
            if changes_display(character) {
                let escaped = character.escape_default();
                written += escaped.len();
                write!(f, "{escaped}")?;
            } else {
                written += character.len_utf8();
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// In quotes.
impl fmt::Debug for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What a broker said beside a code, if it said anything.
pub(crate) fn said(text: Option<&Str>) -> Option<Untrusted<'_>> {
    text.map(Str::as_str).filter(|text| !text.is_empty()).map(Untrusted)
}

/// Control characters, ends of lines, and what turns the direction of writing.
fn changes_display(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_display_is_escaped() {
        for (text, shown) in [
            ("plain text, ümläute, 日本", "plain text, ümläute, 日本"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[2J\u{7}\u{0}", "\\u{1b}[2J\\u{7}\\u{0}"),
            ("\u{9b}31m\u{202e}txt\u{2028}", "\\u{9b}31m\\u{202e}txt\\u{2028}"),
        ] {
            assert_eq!(Untrusted(text).to_string(), shown);
        }
        assert_eq!(format!("{:?}", Untrusted("a\nb")), "\"a\\nb\"");
    }

    #[test]
    fn it_is_cut_at_1_kib_between_characters() {
        for text in ["x".repeat(5000), "日".repeat(2000), "\u{1b}".repeat(4000)] {
            let shown = Untrusted(&text).to_string();
            assert!(shown.ends_with('…') && (MAX_SHOWN..MAX_SHOWN + 16).contains(&shown.len()), "{}", shown.len());
        }
        assert_eq!(Untrusted(&"x".repeat(MAX_SHOWN)).to_string().len(), MAX_SHOWN);
    }

    #[test]
    fn nothing_said_is_nothing() {
        assert!(said(None).is_none() && said(Some(&Str::default())).is_none());
        assert_eq!(said(Some(&Str::truncated("why"))).map(|said| said.to_string()).as_deref(), Some("why"));
    }
}
