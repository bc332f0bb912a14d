//! How much a broker takes: produces batches of records of 100 bytes to one node over one connection, a few requests ahead of the
//! answers, then fetches them all. Says records a second, and how much processor time the broker's process took for them.
//!
//! `cargo run --release -p klamm-broker --example serve -- 127.0.0.1:9092 1` on a core of its own (`taskset`), then
//! `cargo run --release -p klamm-broker --example load -- 127.0.0.1:9092 PID-OF-SERVE [RECORDS]`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::records::{BatchBuilder, Compression, NO_HEADERS, RecordBatches};
use klamm::protocol::{ApiKey, ApiMessage, ErrorCode, Records, Request, Str, TopicName};

/// Requests that are sent before the answer to the first has come: the most that an idempotent producer may.
const AHEAD: u64 = 5;
/// A full batch, as klamm's producer makes them by default.
const BATCH_BYTES: usize = 256 << 10;
const PARTITIONS: i32 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let process = arguments.next().ok_or("the process id of the broker is missing")?;
    let records: u64 = arguments.next().map_or(Ok(5_000_000), |records| records.parse())?;
    let mut connection = Connection { stream: TcpStream::connect(address)?, buffer: Vec::new() };
    connection.stream.set_nodelay(true)?;
    let topic = TopicName(Str::try_from("load")?);
    connection.create(&topic)?;

    let (batch, in_batch) = batch()?;
    let requests = records / (in_batch * PARTITIONS as u64);
    let partition_data = (0..PARTITIONS).map(|index| PartitionProduceData { index, records: Some(Records(batch.clone())) });
    let topic_data = TopicProduceData { name: topic.clone(), partition_data: partition_data.collect(), ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic_data], ..Default::default() };
    let (started, used) = (Instant::now(), processor_time(&process)?);
    for index in 0..requests + AHEAD {
        if index < requests {
            connection.send(12, &request)?;
        }
        if index >= AHEAD {
            let response = connection.receive::<ProduceRequest>(12)?;
            let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
            assert!(partitions.all(|partition| partition.error_code == ErrorCode::NONE));
        }
    }
    let produced = requests * in_batch * PARTITIONS as u64;
    report("produced", produced, started.elapsed(), processor_time(&process)? - used);

    let (started, used) = (Instant::now(), processor_time(&process)?);
    let mut next = vec![0; PARTITIONS as usize];
    let mut fetched = 0;
    while fetched < produced {
        let partition = |(partition, fetch_offset): (i32, &i64)| FetchPartition {
            partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let partitions = (0..).zip(&next).map(partition).collect();
        let topics = vec![FetchTopic { topic: topic.clone(), partitions, ..Default::default() }];
        let request = FetchRequest { max_wait_ms: 500, min_bytes: 1, max_bytes: 50 << 20, topics, ..Default::default() };
        connection.send(12, &request)?;
        let response = connection.receive::<FetchRequest>(12)?;
        for data in response.responses.into_iter().flat_map(|topic| topic.partitions) {
            let next = next.get_mut(usize::try_from(data.partition_index)?).ok_or("a partition nobody asked for")?;
            for batch in RecordBatches::new(data.records.unwrap_or_default().0) {
                *next = batch?.next_offset();
                fetched += in_batch;
            }
        }
    }
    report("fetched", fetched, started.elapsed(), processor_time(&process)? - used);
    Ok(())
}

fn batch() -> Result<(Bytes, u64), Box<dyn std::error::Error>> {
    let mut builder = BatchBuilder::new(BATCH_BYTES);
    let value = [b'x'; 100];
    while builder.len() + 120 < BATCH_BYTES {
        builder.append(1_700_000_000_000, None, Some(&value), NO_HEADERS)?;
    }
    let count = builder.count() as u64;
    Ok((builder.close(Compression::None)?.stamp(-1, -1, -1, false), count))
}

fn report(what: &str, records: u64, took: Duration, used: Duration) {
    let per_second = |time: Duration| records as f64 / time.as_secs_f64() / 1e6;
    println!(
        "{records} {what} in {took:.2?}: {:.2} M/s; the broker used {used:.2?} of a processor: {:.2} M for each second of it",
        per_second(took),
        per_second(used)
    );
}

/// What a process has used so far, of user and system time; ticks are hundredths of a second on Linux.
fn processor_time(process: &str) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn create(&mut self, topic: &TopicName) -> Result<(), Box<dyn std::error::Error>> {
        let topics = Some(vec![MetadataRequestTopic { name: Some(topic.clone()), ..Default::default() }]);
        let request = MetadataRequest { topics, allow_auto_topic_creation: true, ..Default::default() };
        for _ in 0..10 {
            self.send(9, &request)?;
            let response = self.receive::<MetadataRequest>(9)?;
            if response.topics.iter().all(|topic| topic.error_code == ErrorCode::NONE) {
                return Ok(());
            }
        }
        Err("the topic is not created".into())
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<(), Box<dyn std::error::Error>> {
        for part in encode_request(1, None, version, request)? {
            self.stream.write_all(&part)?;
        }
        Ok(())
    }

    fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, Box<dyn std::error::Error>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        self.buffer.resize(u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut self.buffer)?;
        let frame = Bytes::copy_from_slice(&self.buffer);
        let (_, body) = decode_response(&frame, ApiKey(R::API_KEY), R::is_flexible(version))?;
        Ok(R::Response::decode(&body, version)?)
    }
}
