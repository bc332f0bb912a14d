//! `klamm cluster`.

use serde_json::{Value, json};

use crate::exit::Done;
use crate::options::Options;
use crate::output::cell;

/// Shows id, controller, brokers and features.
pub(crate) async fn run(options: &Options) -> Done {
    let client = options.connect().await?;
    let cluster = options.within("describing the cluster", client.admin().describe_cluster()).await?;
    let brokers: Vec<Value> = cluster
        .brokers
        .iter()
        .map(|node| json!({"id": node.id.0, "host": &*node.host, "port": node.port, "rack": node.rack.as_deref()}))
        .collect();
    let features: serde_json::Map<String, Value> =
        cluster.features.iter().map(|(name, level)| (name.clone(), level.max.into())).collect();
    let description = json!({
        "cluster_id": cluster.cluster_id,
        "controller_id": cluster.controller_id.map(|id| id.0),
        "brokers": brokers,
        "features": features,
    });
    let mut output = options.output();
    if output.is_json() {
        output.line(&description)?;
        return output.flush();
    }
    output.line(&format_args!("cluster     {}", cell(&description["cluster_id"])))?;
    output.line(&format_args!("controller  {}", cell(&description["controller_id"])))?;
    output.line(&format_args!("features    {}", cell(&description["features"])))?;
    output.line(&"")?;
    output.things(&[("broker", "id"), ("host", "host"), ("port", "port"), ("rack", "rack")], &brokers)
}
