//! Calls that ask something or change the cluster.

use std::time::Duration;

use klamm::protocol::ErrorCode;
use klamm::{Client, Error, Result};
use klamm_broker::Broker;

use super::cut::{Cut, Progress, cut};
use super::scene::{Scene, patient};
use super::world::{Security, broker};

/// A call on a client, as the table has it.
pub(crate) type Call = fn(Client) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

async fn scene() -> Scene {
    // One fetch has a connection of its own, which ends with it, perhaps before it was sent.
    let scene = Scene::start(broker(2).nodes(2)).await.may_end("fetch").may_end("unused");
    for partition in 0..2 {
        scene.world.append("t", partition, 0..5);
        scene.world.broker.set_committed("g", "t", partition, Some(2));
    }
    scene
}

/// A question, dropped: another that was asked at the same time is answered, and so is the same when it is asked again.
pub(crate) async fn ask(at: Cut, call: Call) -> Progress {
    change(at, call, &[], |_| true).await
}

/// A change, dropped: it was made or not, and can be made again, which says that it was in one of these ways.
pub(crate) async fn change(at: Cut, call: Call, already: &[ErrorCode], is_made: fn(&Broker) -> bool) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let made_already = |error: &Error| error.code().is_some_and(|code| already.contains(&code));
    // It waits for the same lookups, after the other.
    let bystander = tokio::spawn(call(client.clone()));
    let (result, progress) = cut(at, call(client.clone())).await;
    if let Some(result) = result {
        assert!(result.as_ref().err().is_none_or(made_already), "{result:?}");
    }
    let by = patient("a call at the same time", bystander).await.unwrap();
    assert!(by.as_ref().err().is_none_or(made_already), "{by:?}");
    let again = patient("the call made again", call(client.clone())).await;
    assert!(again.as_ref().err().is_none_or(made_already), "{again:?}");
    assert!(is_made(&scene.world.broker), "not made");
    scene.assert_connections_whole().await;
    drop(client);
    scene.over().await;
    progress
}

/// `ClientBuilder::connect`: dropping it drops the client.
pub(crate) async fn connect(at: Cut) -> Progress {
    connect_to(at, scene().await).await
}

/// The same where it logs in, for which a password is salted on another thread.
pub(crate) async fn connect_logging_in(at: Cut) -> Progress {
    connect_to(at, Scene::start_with(Security::SaslScram, broker(2)).await).await
}

async fn connect_to(at: Cut, scene: Scene) -> Progress {
    let (client, progress) = cut(at, scene.world.builder().connect()).await;
    let was_dropped = client.is_none();
    drop(client);
    let took = scene.world.wait_until_empty(Duration::from_millis(50)).await;
    assert!(!was_dropped || took <= Duration::from_millis(40), "{took:?}");
    drop(patient("connecting again", scene.world.builder().connect()).await.unwrap());
    super::world::panics::assert_none();
    progress
}

/// `Client::close`: it refuses work from its first poll on; made again, it closes what is open.
pub(crate) async fn close(at: Cut) -> Progress {
    let scene = scene().await;
    let client = scene.client();
    let delivering = tokio::spawn({
        let client = client.clone();
        async move { client.deliver(super::world::record(0, "a")).await }
    });
    // It is on its way.
    tokio::time::sleep(Duration::from_millis(25)).await;
    let (_, progress) = cut(at, client.close()).await;
    assert_eq!(client.is_closed(), progress.polls > 0);
    patient("closing again", client.close()).await;
    assert!(client.is_closed() && client.topics().await.is_err());
    let _ = patient("deliver", delivering).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.world.connections(), 0);
    drop(client);
    scene.world.wait_until_empty(Duration::from_millis(50)).await;
    super::world::panics::assert_none();
    progress
}
