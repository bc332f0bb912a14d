//! Features: what a cluster has agreed to do (KIP-584, KIP-1022), as ApiVersions tells it.

use klamm::protocol::messages::api_versions::{ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey};

use crate::core::topics::text;
use crate::core::{Call, Core, KafkaVersion};

/// Features that this broker knows, with the levels it could run at; new clusters have the highest.
pub(crate) const FEATURES: [(&str, i16, i16); 2] = [("group.version", 0, 1), ("transaction.version", 0, 2)];

/// First version of ApiVersions with features.
const SINCE: i16 = 3;

/// First version whose readers do not stumble over a lowest level of 0.
const LEVEL_ZERO: i16 = 4;

/// Is there such a feature, with such a level?
pub(crate) fn is_feature(name: &str, level: i16) -> bool {
    FEATURES.iter().any(|(known, lowest, highest)| *known == name && (*lowest..=*highest).contains(&level))
}

impl Core {
    /// The level that the cluster has agreed on; 0 for a feature that is switched off.
    pub(super) fn feature(&self, name: &str) -> i16 {
        if !self.has_features() {
            return 0;
        }
        let highest = FEATURES.iter().find(|(known, ..)| *known == name).map_or(0, |(.., highest)| *highest);
        self.settings.features.get(name).copied().unwrap_or(highest)
    }

    /// Does the release that is played have any?
    fn has_features(&self) -> bool {
        self.settings.kafka_version.is_none_or(KafkaVersion::has_features)
    }

    /// Agrees on another level. `false` for a level that is not supported, or an unknown feature.
    pub(crate) fn set_feature(&mut self, name: &str, level: i16) -> bool {
        let is_known = is_feature(name, level);
        if is_known {
            self.settings.features.insert(name.to_owned(), level);
            self.settings.features_epoch += 1;
        }
        is_known
    }

    /// Says so in an answer to ApiVersions.
    pub(super) fn tell_features(&self, call: &Call, response: &mut ApiVersionsResponse) {
        if call.version < SINCE || !self.has_features() {
            return;
        }
        for (name, min_version, max_version) in FEATURES {
            if min_version > 0 || call.version >= LEVEL_ZERO {
                response.supported_features.push(SupportedFeatureKey { name: text(name), min_version, max_version });
            }
            let level = self.feature(name);
            if level > 0 {
                let (max_version_level, min_version_level) = (level, level);
                response.finalized_features.push(FinalizedFeatureKey { name: text(name), max_version_level, min_version_level });
            }
        }
        response.finalized_features_epoch = self.settings.features_epoch;
    }
}
