//! Texts that nobody may see: passwords, private keys.
//!
//! A [`Secret`] shows itself nowhere: `Debug` prints `***`, there is no `Display`, and its memory is wiped when the last handle goes. It
//! is held once, however often it is cloned.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize as _, Zeroizing};

/// A password, key, or other text that must not be shown.
#[derive(Clone, Default)]
pub struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: impl Into<Self>) -> Self {
        text.into()
    }

    /// The text itself, for the place that needs it. Don't keep a copy.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Is it the empty text?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }
}

/// Wipes the memory that `text` had.
impl From<String> for Secret {
    fn from(mut text: String) -> Self {
        // Not `into_boxed_str`: shrinking may move the text and leave the old place as it is.
        let secret = Self::from(text.as_str());
        text.zeroize();
        secret
    }
}

impl From<&String> for Secret {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert!(Secret::default().is_empty() && !Secret::from(String::from("x")).is_empty());
    }
}
