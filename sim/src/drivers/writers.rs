//! The scripted transactional writers: each asks the broker over pipes in memory of its own, past the network and its faults.

use std::io;

use bytes::Bytes;
use klamm::network::{Connector as _, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::World;
use crate::transactional::{Ask, Writer, WriterPlan};

/// The largest answer.
const LONGEST: i32 = 1 << 20;

/// A writer's life.
pub(super) async fn write(world: World, plan: WriterPlan) {
    let workload = &world.case.workload;
    let mut writer = Writer::new(&plan, world.case.seed, workload.nodes, workload.partitions, workload.duration);
    loop {
        let ask = writer.poll(world.recorder.now());
        tell(&world, &mut writer);
        let Some(at) = writer.next_timeout() else { return };
        let left = at.saturating_sub(world.recorder.now());
        let Some(ask) = ask else {
            sleep(left).await;
            continue;
        };
        match timeout(left, exchange(&world, &ask)).await {
            Ok(Ok(frame)) => writer.answered(world.recorder.now(), &frame),
            Ok(Err(_)) | Err(_) => writer.lost(world.recorder.now()),
        }
        tell(&world, &mut writer);
    }
}

fn tell(world: &World, writer: &mut Writer) {
    writer.take_events().into_iter().for_each(|event| world.recorder.push(event));
    writer.take_codes().into_iter().for_each(|(api, code)| world.recorder.counted(api, code));
}

/// One request and its answer, without its length.
async fn exchange(world: &World, ask: &Ask) -> io::Result<Bytes> {
    let (host, port) = world.broker.address(ask.node).ok_or(io::ErrorKind::NotFound)?;
    let mut pipe = world.broker.connector().connect(Target::new(host, port)).await?;
    pipe.write_all(&ask.frame).await?;
    let length = pipe.read_i32().await?;
    let length = usize::try_from(length.min(LONGEST)).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut frame = vec![0; length];
    _ = pipe.read_exact(&mut frame).await?;
    Ok(frame.into())
}
