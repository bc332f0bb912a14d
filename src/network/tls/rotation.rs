//! Certificates and keys that are replaced while the client runs: files are read again when they changed, for new connections.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::setup::Setup;
use crate::config::{Pem, TlsConfig};
use crate::error::Result;

/// A setup that follows its files.
#[derive(Debug)]
pub(super) struct Rotation {
    tls: TlsConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    setup: Setup,
    /// Of each file, what was there when it was last read.
    stamps: Vec<Stamp>,
}

/// What tells a changed file from an unchanged one; `None` where there is none.
type Stamp = Option<(SystemTime, u64)>;

impl Rotation {
    /// Reads all files.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub(super) fn new(tls: &TlsConfig) -> Result<Self> {
        let stamps = stamps(tls);
        let state = State { setup: Setup::new(tls)?, stamps };
        Ok(Self { tls: tls.clone(), state: Mutex::new(state) })
    }

    /// What to connect with now. The files are looked at on the blocking pool.
    pub(super) async fn setup(self: &Arc<Self>) -> Setup {
        if files(&self.tls).next().is_some() {
            let this = Arc::clone(self);
            if let Ok(setup) = tokio::task::spawn_blocking(move || this.refresh()).await {
                return setup;
            }
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).setup.clone()
    }

    /// Reads the files again if any changed. Where they cannot be used (half of them replaced as yet), what was read before stays.
    fn refresh(&self) -> Setup {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before reading: what changes in between is noticed the next time.
        let stamps = stamps(&self.tls);
        if stamps != state.stamps {
            state.stamps = stamps;
            match Setup::new(&self.tls) {
                Ok(setup) => {
                    tracing::info!("TLS: certificates and keys have changed and were read again");
                    state.setup = setup;
                }
                Err(error) => {
                    tracing::warn!(%error, "certificates or keys have changed, but cannot be used; those read before stay")
                }
            }
        }
        state.setup.clone()
    }
}

fn files(tls: &TlsConfig) -> impl Iterator<Item = &Path> {
    let pems = tls.authorities.iter().chain(&tls.certificate).chain(&tls.chain).chain(&tls.key);
    pems.filter_map(|pem| match pem {
        Pem::File(path) => Some(path.as_path()),
        Pem::Text(_) => None,
    })
}

fn stamps(tls: &TlsConfig) -> Vec<Stamp> {
    let stamp = |path| fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
    files(tls).map(stamp).collect()
}
