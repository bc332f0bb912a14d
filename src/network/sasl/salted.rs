//! Salted passwords of a client, each derived once: a storm of new connections must not cost thousands of hashes for each.
//!
//! Not a core: connections share it. A password is derived on the blocking pool (`Work`), where waiting for another that derives the
//! same is allowed; who needs another one does not wait.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::config::Secret;
use crate::network::sasl::scram::Hash;
use crate::network::setup::WorkResult;

/// Salts remembered. Brokers of a cluster share one; a delegation token has its own; more come only from who plays games.
const MAX_KEPT: usize = 16;

/// See the module.
pub(crate) struct SaltedPasswords {
    hash: Hash,
    password: Secret,
    /// The last used last.
    kept: Mutex<Vec<Arc<Salted>>>,
}

struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    result: OnceLock<WorkResult>,
}

impl SaltedPasswords {
    /// Nothing derived yet.
    pub(crate) fn new(hash: Hash, password: Secret) -> Self {
        Self { hash, password, kept: Mutex::default() }
    }

    /// Which hash is used.
    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// The password under `salt`; takes long the first time.
    pub(crate) fn get(&self, salt: &[u8], iterations: u32) -> WorkResult {
        let salted = self.entry(salt, iterations);
        let derive = || self.hash.salted_password(self.password.expose().as_bytes(), salt, iterations);
        salted.result.get_or_init(derive).clone()
    }

    fn entry(&self, salt: &[u8], iterations: u32) -> Arc<Salted> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|known| known.salt == salt && known.iterations == iterations);
        let entry = match at {
            Some(at) => kept.remove(at),
            None => Arc::new(Salted { salt: salt.to_vec(), iterations, result: OnceLock::new() }),
        };
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(entry.clone());
        entry
    }
}

impl fmt::Debug for SaltedPasswords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltedPasswords").field("hash", &self.hash).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_derived_once_for_each_salt_and_number_of_iterations() {
        let salted = SaltedPasswords::new(Hash::Sha256, "pencil".into());
        let first = salted.get(b"saltsalt", 1);
        let entry = |salt: &[u8]| Arc::as_ptr(&salted.entry(salt, 1));
        assert_eq!(entry(b"saltsalt"), entry(b"saltsalt"));
        assert_ne!(*first, *salted.get(b"tlastlas", 1));
        assert_ne!(*first, *salted.get(b"saltsalt", 2));
        assert_eq!(*first, *salted.get(b"saltsalt", 1));
        assert!(!format!("{salted:?}").contains("pencil"));
    }

    #[test]
    fn only_the_last_salts_are_remembered() {
        let salted = SaltedPasswords::new(Hash::Sha256, "pencil".into());
        let first = salted.entry(b"first", 1);
        for number in 0..MAX_KEPT - 1 {
            salted.entry(&number.to_be_bytes(), 1);
        }
        assert!(Arc::ptr_eq(&first, &salted.entry(b"first", 1)), "used a moment ago");
        for number in 0..MAX_KEPT {
            salted.entry(&number.to_le_bytes(), 7);
        }
        assert!(!Arc::ptr_eq(&first, &salted.entry(b"first", 1)));
    }
}
