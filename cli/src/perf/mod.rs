//! `klamm perf produce | consume | latency`: what klamm costs on this machine, with the options and the report of a peer of the
//! project's benchmark, so that it can be run beside other clients.

mod consume;
mod latency;
mod measure;
mod pool;
mod produce;
mod progress;

use std::time::Duration;

use klamm::producer::ProducerBuilder;
use klamm::protocol::records::Compression;

use crate::exit::Done;
use crate::options::Options;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Sends records as fast as they are acknowledged
    Produce(Load),
    /// Reads records as fast as they come
    Consume(Load),
    /// Sends records at a rate, and measures from the intended send to the acknowledgement
    Latency(Load),
}

/// Options of all three; those that an operation has no use for are ignored, as by the other peers.
#[derive(clap::Args, Clone, Debug)]
struct Load {
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Records
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Bytes of each value
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Milliseconds that a batch waits for more
    #[arg(long)]
    linger_ms: Option<f64>,
    /// Bytes of a batch, with 64 MiB of buffer
    #[arg(long)]
    batch_bytes: Option<usize>,
    #[arg(long, default_value = "none")]
    compression: Compression,
    /// Keys from a pool of 10,000
    #[arg(long)]
    keyed: bool,
    /// Consume as a member of this group
    #[arg(long)]
    group: Option<String>,
    /// Records a second (latency)
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Length of the run (latency)
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds at the start that don't count (latency)
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Show records and latency percentiles once a second
    #[arg(long)]
    progress: bool,
}

impl Load {
    /// A producer with these settings.
    fn tune(&self, mut builder: ProducerBuilder) -> ProducerBuilder {
        builder = builder.compression(self.compression);
        if let Some(linger) = self.linger_ms {
            builder = builder.linger(Duration::from_secs_f64(linger.max(0.0) / 1000.0));
        }
        if let Some(bytes) = self.batch_bytes {
            builder = builder.batch_size(bytes).buffer_memory(64 << 20).max_request_size(bytes.max(1 << 20));
        }
        builder
    }
}

/// Runs one and prints its report.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let report = match arguments.command {
        Command::Produce(load) => produce::run(options, load).await?,
        Command::Consume(load) => consume::run(options, load).await?,
        Command::Latency(load) => latency::run(options, load).await?,
    };
    let mut output = options.output();
    output.line(&report)?;
    output.flush()
}
