//! `klamm api-versions`.

use klamm::protocol::{ApiKey, BrokerId};
use serde_json::{Value, json};

use crate::exit::Done;
use crate::options::Options;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The broker to ask; any if not given
    #[arg(long, value_name = "ID")]
    broker: Option<i32>,
}

/// Shows each API that the broker speaks, and what klamm speaks of it; `used` is the highest version in common.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let client = options.connect().await?;
    let apis = options.within("asking for API versions", client.admin().api_versions(arguments.broker.map(BrokerId))).await?;
    let row = |api: &klamm::admin::ApiSupport| -> Value {
        let key = ApiKey(api.api_key);
        let ours = key.versions();
        let used = ours.as_ref().map(|ours| (*ours.start()).max(api.min_version)..=(*ours.end()).min(api.max_version));
        json!({
            "api_key": api.api_key,
            "name": key.name(),
            "broker_min": api.min_version,
            "broker_max": api.max_version,
            "klamm_min": ours.as_ref().map(|ours| *ours.start()),
            "klamm_max": ours.as_ref().map(|ours| *ours.end()),
            "used": used.filter(|used| !used.is_empty()).map(|used| *used.end()),
        })
    };
    let rows: Vec<Value> = apis.iter().map(row).collect();
    let columns = ["api_key", "name", "broker_min", "broker_max", "klamm_min", "klamm_max", "used"].map(|key| (key, key));
    options.output().things(&columns, &rows)
}
