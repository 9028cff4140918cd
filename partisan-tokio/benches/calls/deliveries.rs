//! Messages that must arrive, and compressed ones, beside plain ones.
//!
//! So many senders, each with its next message once the last is queued (plain) or acknowledged. A
//! plain message counts when it has arrived, so that a full queue is no speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use partisan_proto::config::Compression;
use partisan_proto::{ChannelOptions, SendReliable};
use partisan_tokio::{
    ChannelName, Channels, Config, LabelId, LabelName, Mailbox, Node, SendOptions,
};
use tokio::task::JoinSet;

use crate::{Bench, Plan, median};

const COMPRESSED: &str = "compressed";

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
enum How {
    Plain,
    Compressed,
    Acknowledged,
    Causal,
}

const ALL: [How; 4] = [How::Plain, How::Compressed, How::Acknowledged, How::Causal];

/// What both nodes must have for this.
pub(crate) fn config() -> Config {
    let options = ChannelOptions { compression: Compression::Lz4, ..ChannelOptions::default() };
    let name = ChannelName::new(COMPRESSED).expect("a legal name");
    let channels = Channels::new([(name, options)]).expect("a legal channel");
    let mut config = Config { channels, ..Config::default() };
    config.delivery.labels = vec![label()];
    config
}

fn label() -> LabelName {
    LabelName::new("bench").expect("a legal name")
}

/// Counts what arrives at a node.
pub(crate) async fn count(mut inbox: Mailbox, arrived: Arc<AtomicU64>) {
    while inbox.recv().await.is_some() {
        arrived.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn deliveries(plan: &Plan, bench: &Bench) {
    println!("\nMessages a second; ratios are to plain ones");
    println!(
        "{:>6} {:>7} | {:>9} | {:>10} {:>6} | {:>12} {:>6} | {:>9} {:>6}",
        "bytes",
        "senders",
        "plain",
        "compressed",
        "ratio",
        "acknowledged",
        "ratio",
        "causal",
        "ratio",
    );
    for size in [64, 1 << 10, 64 << 10] {
        for senders in [1, 16, 256] {
            let run = |how| rate(plan, bench, how, senders, size);
            // They take turns, so that what else the machine does hits them alike.
            let rounds: Vec<[f64; 4]> = (0..plan.rounds).map(|_| ALL.map(run)).collect();
            let of = |what: &dyn Fn(&[f64; 4]) -> f64| median(rounds.iter().map(what).collect());
            let ratio = |how: usize| of(&|round| round[how] / round[0]);
            let rates = [0, 1, 2, 3].map(|how| of(&|round| round[how]));
            println!(
                "{size:>6} {senders:>7} | {:>9.0} | {:>10.0} {:>6.2} | {:>12.0} {:>6.2} | {:>9.0} {:>6.2}",
                rates[0],
                rates[1],
                ratio(1),
                rates[2],
                ratio(2),
                rates[3],
                ratio(3),
            );
        }
    }
}

/// Messages that arrived in a second.
fn rate(plan: &Plan, bench: &Bench, how: How, senders: usize, size: usize) -> f64 {
    let (began, before) = (Instant::now(), bench.arrived.load(Ordering::Relaxed));
    let until = began + plan.time;
    let sent: u64 = bench.here.block_on(async {
        let mut running = JoinSet::new();
        for _ in 0..senders {
            let (client, to) = (bench.client.clone(), bench.server.id());
            // As compressible as text is.
            let payload: Bytes = (0..size).map(|at| b"plain words "[at % 12]).collect();
            running.spawn(async move {
                let mut sent = 0;
                while Instant::now() < until {
                    send(&client, how, to, payload.clone()).await;
                    sent += 1;
                }
                sent
            });
        }
        running.join_all().await.into_iter().sum()
    });
    while bench.arrived.load(Ordering::Relaxed) < before + sent {
        std::thread::sleep(Duration::from_micros(100));
    }
    sent as f64 / began.elapsed().as_secs_f64()
}

async fn send(client: &Node, how: How, to: partisan_tokio::NodeId, payload: Bytes) {
    let plain = SendOptions::default();
    let label = match how {
        How::Plain => return client.send_bytes(to, payload, &plain).await.expect("connected"),
        How::Compressed => {
            let channel = client.channel(COMPRESSED).expect("configured");
            let options = plain.channel(channel);
            return client.send_bytes(to, payload, &options).await.expect("connected");
        }
        How::Acknowledged => None,
        How::Causal => Some(LabelId::of(&label())),
    };
    let message = SendReliable { label, ..SendReliable::new(to, payload) };
    client.send_reliable(message).await.expect("acknowledged");
}
