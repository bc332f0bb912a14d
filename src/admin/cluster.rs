//! The cluster: its id, controller, brokers and features, and what each broker speaks.

use std::collections::BTreeMap;

use super::Admin;
use crate::cluster::{Node, Route};
use crate::error::Result;
use crate::protocol::BrokerId;
use crate::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::messages::metadata::MetadataRequest;
use crate::protocol::{ErrorCode, Str};

/// A cluster as described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: Option<String>,
    /// The broker to which requests for the controller go.
    pub controller_id: Option<BrokerId>,
    /// Its brokers, by number.
    pub brokers: Vec<Node>,
    /// Features that are switched on, each with its level.
    pub features: BTreeMap<String, FeatureLevel>,
}

/// Level of a feature, such as `metadata.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureLevel {
    /// The lowest level that some broker may act by.
    pub min: i16,
    /// The level in force.
    pub max: i16,
}

/// Versions of one API that a broker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiSupport {
    /// Number of the API.
    pub api_key: i16,
    /// The lowest version.
    pub min_version: i16,
    /// The highest.
    pub max_version: i16,
}

impl Admin {
    /// Describes the cluster.
    ///
    /// # Errors
    /// If no broker answered in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let deadline = self.deadline();
        let request =
            MetadataRequest { topics: Some(Vec::new()), allow_auto_topic_creation: false, ..MetadataRequest::default() };
        let metadata = self.cluster.request_until(request, Route::Any, deadline).await?;
        let versions = self.versions_of(Route::Any).await?;
        let mut brokers: Vec<Node> = metadata.brokers.iter().filter_map(Node::from_wire).collect();
        brokers.sort_by_key(|node| node.id);
        let features = versions.finalized_features.iter().map(|feature| {
            (feature.name.as_str().to_owned(), FeatureLevel { min: feature.min_version_level, max: feature.max_version_level })
        });
        Ok(ClusterDescription {
            cluster_id: metadata.cluster_id.as_ref().map(|id| id.as_str().to_owned()),
            controller_id: (metadata.controller_id.0 >= 0).then_some(metadata.controller_id),
            brokers,
            features: features.collect(),
        })
    }

    /// What a broker speaks: this one, or any.
    ///
    /// # Errors
    /// If it did not answer in time.
    ///
    /// # Cancel safety
    /// Nothing is changed by it.
    #[doc(alias = "apis")]
    pub async fn api_versions(&self, broker: Option<BrokerId>) -> Result<Vec<ApiSupport>> {
        let response = self.versions_of(broker.map_or(Route::Any, Route::Broker)).await?;
        let apis = response.api_keys.iter();
        Ok(apis
            .map(|api| ApiSupport { api_key: api.api_key, min_version: api.min_version, max_version: api.max_version })
            .collect())
    }

    async fn versions_of(&self, route: Route) -> Result<ApiVersionsResponse> {
        let text = |text: &'static str| Str::new(text).unwrap_or_default();
        let request = ApiVersionsRequest {
            client_software_name: text("klamm"),
            client_software_version: text(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let response = self.cluster.request_until(request, route, self.deadline()).await?;
        let code: ErrorCode = response.error_code;
        self.verdict(code, None, "the broker did not say what it speaks".to_owned())
            .map_err(|error| error.with_api("ApiVersions"))?;
        Ok(response)
    }
}
