//! Interceptors between what was fetched and what is handed out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use klamm::Message;
use klamm::consumer::{Batch, Consumer, ConsumerBuilder, ConsumerInterceptor, Intercepted};
use klamm_broker::Broker;
use tokio::time::timeout;

use super::{append, start, value};

/// Appends a letter to each value, unless it fails.
struct Letter {
    letter: char,
    fails: fn() -> Intercepted<()>,
    batches: Arc<Mutex<Vec<(char, usize)>>>,
}

impl ConsumerInterceptor for Letter {
    fn on_message(&mut self, mut message: Message) -> Intercepted<Message> {
        let text = format!("{}{}", value(&message), self.letter);
        message.value = Some(text.into());
        // Where a record stands is not an interceptor's to change.
        message.offset += 1000;
        (self.fails)()?;
        Ok(message)
    }

    fn on_batch(&mut self, batch: &Batch) -> Intercepted<()> {
        self.batches.lock().unwrap().push((self.letter, batch.len()));
        (self.fails)()
    }
}

type Batches = Arc<Mutex<Vec<(char, usize)>>>;

fn with(builder: ConsumerBuilder, batches: &Batches, fails: fn() -> Intercepted<()>) -> Consumer {
    let letter = |letter, fails| Letter { letter, fails, batches: batches.clone() };
    let builder = builder.interceptor(letter('x', || Ok(()))).interceptor(letter('y', fails));
    builder.interceptor(letter('z', || Ok(()))).build().unwrap()
}

async fn next(consumer: &mut Consumer) -> Message {
    timeout(Duration::from_secs(60), consumer.next()).await.expect("a record").unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn interceptors_are_called_in_order_and_one_that_fails_or_panics_is_passed_over() {
    let fails: [(fn() -> Intercepted<()>, &str); 3] =
        [(|| Ok(()), "0xyz"), (|| Err("no".into()), "0xz"), (|| panic!("no"), "0xz")];
    for (fails, expected) in fails {
        let (broker, client) = start(Broker::builder().topic("t", 1)).await;
        append(&broker, "t", 0, 0..2);
        let batches = Batches::default();
        let mut consumer = with(client.consumer("g").topics(["t"]), &batches, fails);
        let first = next(&mut consumer).await;
        assert_eq!((value(&first).as_str(), first.offset), (expected, 0));
        assert_eq!(next(&mut consumer).await.offset, 1);
        consumer.stop();
        assert!(consumer.next().await.unwrap().is_none());
        assert_eq!(broker.committed("g", "t", 0), Some(2), "marks are where the records are");

        append(&broker, "t", 0, 2..5);
        let mut consumer = with(client.consumer("g").topics(["t"]), &batches, fails);
        let batch = timeout(Duration::from_secs(60), consumer.next_batch()).await.expect("a batch").unwrap().unwrap();
        assert_eq!(batch.len(), 3);
        assert_eq!(*batches.lock().unwrap(), [('x', 3), ('y', 3), ('z', 3)], "each is called once, whatever the others do");
    }
}

#[tokio::test(start_paused = true)]
async fn each_message_gets_what_the_interceptors_gave() {
    let (broker, client) = start(Broker::builder().topic("t", 1)).await;
    append(&broker, "t", 0, 0..3);
    let mut consumer = with(client.consumer("g").topics(["t"]), &Batches::default(), || Ok(()));
    let (handle, mut seen) = (consumer.handle(), Vec::new());
    let work = consumer.each_message(|message| {
        seen.push(value(&message));
        if seen.len() == 3 {
            handle.stop();
        }
        async { Ok::<(), klamm::Error>(()) }
    });
    timeout(Duration::from_secs(60), work).await.expect("it ends").unwrap();
    assert_eq!(seen, ["0xyz", "1xyz", "2xyz"]);
    assert_eq!(broker.committed("g", "t", 0), Some(3));
}
